"""A repository's index follows its commits, whatever happens on the way."""

import random

import numpy as np
import pytest
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.api.repositories.v1.repositories_pb2 import FILE_STATE_FAILED, FILE_STATE_INDEXED
from nearcode.domain.artifact import Artifact, parts
from nearcode.domain.chunk import Chunk, point_id
from nearcode.domain.errors import NotFound
from nearcode.domain.index import ChunkIndex, IndexSpace, ModelProfile, Point, Sparse
from nearcode.domain.repository import FileVersion, RepositoryState
from nearcode.ingestion.builder import Builder, BuildStores, whole
from nearcode.ingestion.digest import digest_of
from nearcode.ingestion.filling import Fill, Filler
from nearcode.ingestion.service import Ingestion
from nearcode.ingestion.settings import IngestionSettings
from nearcode.runtime.wire import version_to_proto

from tests.unit.memory_index import MemoryIndex
from tests.unit.memory_stores import (
    MemoryArtifacts,
    MemoryBuilds,
    MemoryBus,
    MemoryManifests,
    MemoryQueues,
    MemorySource,
    MemorySources,
)

URL = "file:///code/shop"
SPACE = IndexSpace("completion", ModelProfile("toy", 2, static=True))


class World:
    """Ingestion over stores in memory; chunking and embedding are played by `index_part`."""

    def __init__(self) -> None:
        self.manifests, self.artifacts, self.builds = MemoryManifests(), MemoryArtifacts(), MemoryBuilds()
        self.bus, self.source, self.index = MemoryBus(), MemorySource(), MemoryIndex(SPACE)
        self.sources, self.queues = MemorySources(self.source), MemoryQueues()
        self.fills: list[Fill] = []
        self.chat_indexes: dict[str, MemoryIndex] = {}
        self.restart()

    def restart(self) -> None:
        """A new process over the same stores."""
        settings = IngestionSettings(part_files=2)
        stores = BuildStores(self.manifests, self.artifacts, self.builds, self.bus)
        filler = Filler(stores, self._fills, self.chat_index, settings)
        builder = Builder(stores, self.index, settings, on_served=filler.want)
        self.ingestion = Ingestion(stores, self.sources, self.index, builder, filler, self.queues)

    async def _fills(self) -> list[Fill]:
        return self.fills

    async def chat_index(self, collection: str = "chat-talk") -> MemoryIndex:
        """The index of a collection that is filled behind."""
        if collection not in self.chat_indexes:
            space = IndexSpace("chat", ModelProfile(collection.removeprefix("chat-"), 2))
            self.chat_indexes[collection] = MemoryIndex(space)
        return self.chat_indexes[collection]

    async def wanted(self) -> None:
        for event in self.bus.take(pb.RevisionWanted):
            await self.ingestion.builder.start(event, self.ingestion.source)

    async def index_part(self, event: pb.RevisionSynced, index: ChunkIndex | None = None) -> pb.BatchIndexed:
        outcomes = []
        for file in event.files:
            blob = self.source.files.get(file.path)
            if blob is None:
                outcomes.append(pb.FileOutcome(file=file, state=FILE_STATE_FAILED, reason="changed while it was indexed"))
                continue
            chunk = Chunk(event.repository, file.path, file.blob, 0, "python", "block", 1, 1, blob.decode())
            await (index or self.index).upsert([_point(chunk, event.build.generation)])
            outcomes.append(
                pb.FileOutcome(file=file, state=FILE_STATE_INDEXED, chunks=1, terms=np.array([7], dtype="<u4").tobytes())
            )
        return pb.BatchIndexed(
            repository=event.repository, build=event.build, part=event.part, batch=0, batches=1, files=outcomes
        )

    async def settle(self) -> None:
        """Delivers everything until nothing is left."""
        while True:
            await self.wanted()
            synced = [event for event in self.bus.take(pb.RevisionSynced) if not self.is_fill(event)]
            if not synced and not any(isinstance(event, pb.RevisionWanted) for event in self.bus.published):
                return
            for event in synced:
                await self.ingestion.builder.take(await self.index_part(event))

    def is_fill(self, event: pb.RevisionSynced) -> bool:
        """Keeps what fills a collection for later."""
        if event.build.fill:
            self.bus.published.append(event)
        return bool(event.build.fill)

    async def stored(self) -> dict[str, str]:
        """Path to blob of what is stored."""
        found = {}
        async for point in self.index.scan(self.repository):
            found[str(point.payload["path"])] = str(point.payload["blob"])
        return found

    @property
    def repository(self) -> str:
        return next(iter(self.manifests.kept))


def _point(chunk: Chunk, generation: int) -> Point:
    vector = np.array([1.0, 0.0], dtype=np.float32)
    empty = Sparse(np.array([], dtype=np.uint32), np.array([], dtype=np.float32))
    return Point(point_id(chunk, "toy"), chunk, vector, empty, ("workspace",), generation)


@pytest.fixture
async def world() -> World:
    world = World()
    world.source.commit(a_py=b"a = 1", b_py=b"b = 1", c_py=b"c = 1")
    await world.ingestion.connect(URL)
    return world


async def test_a_connected_repository_is_indexed_and_its_files_tell_their_state(world: World) -> None:
    await world.ingestion.sync(world.repository)
    await world.settle()
    status = await world.ingestion.get(world.repository)
    assert (status.state, status.files, status.chunks) == (RepositoryState.READY, 3, 3)
    assert [file.path for file in await world.ingestion.list_files(world.repository)] == ["a.py", "b.py", "c.py"]


async def test_nothing_is_done_twice_when_nothing_changed(world: World) -> None:
    await world.ingestion.sync(world.repository)
    await world.settle()
    await world.ingestion.sync(world.repository)
    assert not world.bus.take(pb.RevisionWanted)


async def test_a_change_costs_only_the_changed_file_and_removes_the_old_one(world: World) -> None:
    await world.ingestion.sync(world.repository)
    await world.settle()
    world.source.commit(a_py=b"a = 2", b_py=b"b = 1")
    await world.ingestion.sync(world.repository)
    await world.wanted()
    (event,) = world.bus.take(pb.RevisionSynced)
    assert [file.path for file in event.files] == ["a.py"]
    await world.ingestion.builder.take(await world.index_part(event))
    assert await world.stored() == {file.path: file.blob for file in world.source.snapshot().files}


async def test_back_to_an_earlier_commit_ends_there(world: World) -> None:
    first = dict(world.source.files)
    await world.ingestion.sync(world.repository)
    await world.settle()
    clean = await digest_of(world.index, world.repository)
    world.source.commit(a_py=b"a = 2", b_py=b"b = 2", d_py=b"d = 2")
    await world.ingestion.sync(world.repository)
    await world.wanted()
    half = world.bus.take(pb.RevisionSynced)
    await world.ingestion.builder.take(await world.index_part(half[0]))
    world.source.files = first
    await world.ingestion.sync(world.repository)
    await world.settle()
    for late in half:  # a worker that was asleep wakes up
        await world.ingestion.builder.take(
            pb.BatchIndexed(repository=late.repository, build=late.build, part=late.part, batches=1)
        )
    status = await world.ingestion.get(world.repository)
    assert (status.state, status.generation) == (RepositoryState.READY, 3)
    assert await digest_of(world.index, world.repository) == clean


@pytest.mark.parametrize("seed", range(20))
async def test_events_may_come_twice_late_and_across_restarts(seed: int) -> None:
    chance = random.Random(seed)
    world, clean = World(), World()
    files = {f"f{number}_py": f"x = {number}".encode() for number in range(9)}
    for each in (world, clean):
        each.source.commit(**files)
        await each.ingestion.connect(URL)
        await each.ingestion.sync(each.repository)
    await clean.settle()
    wishes = world.bus.take(pb.RevisionWanted)
    await world.ingestion.builder.start(wishes[0], world.ingestion.source)
    deliveries = world.bus.take(pb.RevisionSynced) * 2
    chance.shuffle(deliveries)
    for event in deliveries:
        if chance.random() < 0.4:
            world.restart()
            await world.ingestion.builder.start(wishes[0], world.ingestion.source)
        await world.ingestion.builder.take(await world.index_part(event))
    assert await digest_of(world.index, world.repository) == await digest_of(clean.index, clean.repository)
    assert (await world.ingestion.get(world.repository)).state == RepositoryState.READY
    (kept,) = world.artifacts.kept
    assert kept.startswith(f"{world.repository}.1-")
    assert not world.builds.kept


async def test_a_file_that_changes_while_it_is_indexed_is_indexed_after_all(world: World) -> None:
    await world.ingestion.sync(world.repository)
    await world.wanted()
    events = world.bus.take(pb.RevisionSynced)
    del world.source.files["a.py"]
    for event in events:
        await world.ingestion.builder.take(await world.index_part(event))
    world.source.commits[""] = world.source.snapshot()
    await world.settle()
    assert sorted(await world.stored()) == ["b.py", "c.py"]
    assert (await world.ingestion.get(world.repository)).state == RepositoryState.READY


async def test_a_disconnected_repository_leaves_nothing(world: World) -> None:
    await world.ingestion.sync(world.repository)
    await world.settle()
    repository = world.repository
    await world.ingestion.disconnect(repository)
    assert not [point async for point in world.index.scan(repository)]
    assert not world.artifacts.kept
    with pytest.raises(NotFound):
        await world.ingestion.get(repository)


async def test_a_crash_between_the_manifest_and_its_event_is_made_good_at_the_next_start(world: World) -> None:
    await world.ingestion.sync(world.repository)
    world.bus.published.clear()
    world.bus.ids.clear()
    world.restart()
    await world.ingestion.resume()
    await world.settle()
    assert (await world.ingestion.get(world.repository)).state == RepositoryState.READY


def test_a_part_that_was_cut_twice_counts_once() -> None:
    assert whole({"0.0.3", "0.2.3", "1.0.1"}, 2) is None
    assert whole({"0.0.3", "0.2.3", "0.0.2", "0.1.2", "1.0.1"}, 2) == ["0.0.2", "0.1.2", "1.0.1"]
    assert whole(set(), 0) == []


def test_parts_hold_every_file_once_and_stay_small() -> None:
    files = [FileVersion(f"{number}.py", "b", number * 100) for number in range(50)]
    cut = list(parts(files, 7, 5_000))
    assert [file for part in cut for file in part] == files
    assert all(len(part) <= 7 and (len(part) == 1 or sum(file.size for file in part) <= 5_000) for part in cut)


def test_an_artifact_survives_being_stored() -> None:
    source = MemorySource()
    source.commit(a_py=b"1", b_py=b"2")
    draft = Artifact.plan("r1", "main", 1, source.snapshot(), None)
    again = Artifact.load(draft.dump())
    assert again.pending() == draft.pending() == list(source.snapshot().files)
    assert version_to_proto(again.pending()[0]).path == "a.py"
