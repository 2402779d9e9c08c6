"""The revisions that retrieval keeps: asked for together, never older than what was told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from nearcode.adapters.artifact_cache import CachedArtifacts
from nearcode.adapters.revisions import ArtifactRevisions
from nearcode.api.events.v1 import events_pb2
from nearcode.domain.artifact import Artifact, Snapshot
from nearcode.domain.manifest import Manifest, Served
from nearcode.events.bus import Bus

from tests.unit.memory_stores import MemoryArtifacts, MemoryBus, MemoryManifests


class CountedManifests(MemoryManifests):
    """Counts the looks at the store."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def all(self) -> list[Manifest]:
        self.looks += 1
        found = await super().all()
        await asyncio.sleep(0)  # as a store that is elsewhere
        return found


class Telling(MemoryBus):
    """Tells those who follow."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: list[Callable[[Any], Awaitable[None]]] = []

    async def follow(self, event: type[Any], handler: Callable[[Any], Awaitable[None]]) -> None:
        assert event is events_pb2.RevisionIndexed
        self.followed.append(handler)


class World:
    """Manifests and artifacts, and the revisions that are read from them."""

    def __init__(self) -> None:
        self.manifests, self.artifacts, self.bus = CountedManifests(), MemoryArtifacts(), Telling()
        self.revisions = ArtifactRevisions(self.manifests, cast(CachedArtifacts, self.artifacts))

    async def serve(self, repository: str, generation: int) -> None:
        """Serves a revision of no files."""
        name = f"{repository}.{generation}"
        draft = Artifact.plan(repository, "main", generation, Snapshot(f"c{generation}", (), ()), None)
        await self.artifacts.put(name, draft.dump())
        served = Served(generation, f"c{generation}", name, 0, 0, 0.0, 0)
        manifest = Manifest(repository, f"file:///{repository}", repository, generation=generation).serve(served)
        found = await self.manifests.get(repository)
        await (self.manifests.update(manifest, found.version) if found else self.manifests.create(manifest))

    async def tell(self, repository: str) -> None:
        """Says that another revision is served."""
        for handler in self.bus.followed:
            await handler(events_pb2.RevisionIndexed(repository=repository))

    async def generation(self, repository: str) -> int | None:
        """Of the revision that questions are answered from."""
        revision = await self.revisions.current(repository)
        return revision.generation if revision else None


async def test_a_caller_with_many_repositories_asks_for_all_of_them_at_once() -> None:
    world = World()
    names = [f"r{number}" for number in range(50)]
    for name in names:
        await world.serve(name, 1)
    assert await asyncio.gather(*map(world.generation, names)) == [1] * 50
    assert await world.generation("unknown") is None
    assert world.manifests.looks == 1


async def test_what_is_told_is_served_at_once_also_of_a_repository_that_was_not_there() -> None:
    world = World()
    await world.revisions.follow(cast(Bus, world.bus))
    await world.serve("r1", 1)
    assert (await world.generation("r1"), await world.generation("r2")) == (1, None)
    for name, generation in (("r1", 2), ("r2", 1)):
        await world.serve(name, generation)
        await world.tell(name)
        assert await world.generation(name) == generation


async def test_an_answer_from_before_does_not_hide_what_was_told_meanwhile() -> None:
    world = World()
    await world.revisions.follow(cast(Bus, world.bus))
    await world.serve("r1", 1)
    early = asyncio.create_task(world.generation("r1"))
    while not world.manifests.looks:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await world.serve("r1", 2)
    await world.tell("r1")
    await early
    assert await world.generation("r1") == 2
