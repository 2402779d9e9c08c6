"""A newer program on what an older one made: every revision is of one recipe, seen whole or not at all, and nothing stays."""

import random
from dataclasses import asdict

import numpy as np
import pytest
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain import chunk
from nearcode.domain.artifact import Artifact, ArtifactRevision
from nearcode.domain.errors import Unavailable
from nearcode.domain.index import DenseQuery, Hit
from nearcode.domain.manifest import Manifest
from nearcode.domain.principal import Principal
from nearcode.domain.repository import RepositoryState
from nearcode.retrieval.recheck import Recheck

from tests.unit.test_filling import FilledWorld
from tests.unit.test_ingestion_builder import URL, World


class Upgraded(FilledWorld):
    """Programs of several versions, one after the other, on the same stores."""

    def __init__(self, program: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._program = program

    async def upgrade(self, version: str) -> None:
        """Starts another version of the program."""
        self._program.setattr(chunk, "CHUNKER", version)
        self.restart()
        await self.ingestion.resume()
        await self.ingestion.want_fills()

    async def manifest(self) -> Manifest:
        found = await self.manifests.get(self.repository)
        assert found
        return found.manifest

    async def asked(self) -> tuple[list[Hit], Recheck]:
        """All that the index finds for a question that everything answers, and the check of it."""
        manifest = await self.manifest()
        assert manifest.served
        artifact = Artifact.load(self.artifacts.kept[manifest.served.artifact])
        revision = ArtifactRevision(self.repository, "main", manifest.served.generation, artifact, manifest.oldest)
        scope = Principal("ada", 1, frozenset({self.repository})).scope()
        [hits] = await self.index.search(scope, [DenseQuery(_EVERYTHING, 1_000)])
        return hits, Recheck(scope, {self.repository: revision})

    async def seen(self) -> list[Hit]:
        """What of it counts."""
        hits, recheck = await self.asked()
        return recheck.keep(hits)

    async def check(self, whole: bool = True) -> None:
        """Each file of the served revision is found once; of one that is not seen `whole`, at most once."""
        manifest = await self.manifest()
        assert manifest.served
        expected = Artifact.load(self.artifacts.kept[manifest.served.artifact]).indexed()
        found = sorted((hit.chunk.path, hit.chunk.blob) for hit in await self.seen())
        assert found == sorted(expected.items()) if whole else len(found) == len(set(found)) and set(found) <= expected.items()

    async def ids(self, *, chat: bool = False) -> set[str]:
        index = await self.chat_index() if chat else self.index
        return {point.id async for point in index.scan(self.repository)}


_EVERYTHING = np.array([1.0, 0.0], np.float32)
"""What every toy vector is like."""


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> Upgraded:
    monkeypatch.setattr(chunk, "CHUNKER", "outline-1")
    world = Upgraded(monkeypatch)
    world.source.commit(a_py=b"a = 1", b_py=b"b = 1", c_py=b"c = 1")
    await world.ingestion.connect(URL)
    await world.run()
    return world


async def test_after_an_upgrade_all_of_it_is_indexed_anew_and_the_old_index_answers_meanwhile(world: Upgraded) -> None:
    old = await world.ids()
    await world.upgrade("outline-2")
    status = await world.ingestion.get(world.repository)
    assert status.state is RepositoryState.INDEXING and status.revision == status.wanted
    await world.wanted()
    for event in world.bus.take(pb.RevisionSynced):
        batch = await world.index_part(event)
        assert {hit.id for hit in await world.seen()} == old
        await world.ingestion.builder.take(batch)
    assert (await world.ingestion.get(world.repository)).state is RepositoryState.READY
    new = await world.ids()
    assert len(new) == 3 and not new & old
    assert {hit.id for hit in await world.seen()} == new


async def test_the_chat_space_keeps_what_it_has_until_the_new_revision_is_served_and_is_filled_anew(world: Upgraded) -> None:
    old = await world.ids(chat=True)
    await world.upgrade("outline-2")
    await world.fill()
    assert await world.ids(chat=True) == old
    await world.settle()
    await world.fill()
    new = await world.ids(chat=True)
    assert len(new) == 3 and not new & old
    assert (await world.ingestion.get(world.repository)).coverage[0].ratio == 1.0


async def test_an_index_of_a_version_that_did_not_tell_its_recipe_is_made_anew(world: Upgraded) -> None:
    found = world.manifests.kept[world.repository]
    values = {name: value for name, value in asdict(found.manifest).items() if name not in ("recipe", "since")}
    await world.manifests.update(Manifest.load(values), found.version)
    await world.upgrade("outline-2")
    await world.settle()
    await world.check()
    assert len(await world.ids()) == 3


async def test_a_start_of_the_same_version_indexes_nothing(world: Upgraded) -> None:
    before = await world.manifest()
    await world.upgrade("outline-1")
    assert not world.bus.take(pb.RevisionWanted) and not world.bus.take(pb.FillWanted)
    assert await world.manifest() == before and before.settled


@pytest.mark.parametrize("back", [False, True], ids=["upgrades", "and roll-backs"])
@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_answers_are_whole_and_the_index_ends_as_a_clean_one(
    world: Upgraded, seed: int, back: bool
) -> None:
    """Commits, other versions of the program, and crashes between any two events. A version that was rolled back to writes its
    own points anew, and hides those of its files until it is done; nothing is ever found twice."""
    chance, version = random.Random(seed), 1
    for _ in range(8):
        if chance.random() < 0.6:
            names = chance.sample(["a_py", "b_py", "c_py", "d_py"], chance.randint(1, 4))
            world.source.commit(**{name: b"%s = %d" % (name[0].encode(), chance.randrange(3)) for name in names})
            await world.ingestion.sync(world.repository)
        if chance.random() < 0.5:
            version = chance.randrange(4) if back else version + chance.randrange(2)
            await world.upgrade(f"outline-{version}")
        await world.wanted()
        synced = [event for event in world.bus.take(pb.RevisionSynced) if not world.is_fill(event)]
        for event in chance.sample(synced, chance.randint(0, len(synced))):
            await world.ingestion.builder.take(await world.index_part(event))
            await world.check(whole=not back)
        await world.check(whole=not back)
    world.bus.ids.clear()  # the broker forgets ids after ten minutes
    await world.upgrade(f"outline-{version}")
    await world.settle()
    await world.fill()
    await world.check()
    await _equals_a_clean_index(world)


async def _equals_a_clean_index(world: Upgraded) -> None:
    clean = World()
    clean.source = clean.sources.source = world.source
    await clean.ingestion.connect(URL)
    await clean.ingestion.sync(clean.repository)
    await clean.settle()
    assert await world.ids() == {point.id async for point in clean.index.scan(clean.repository)}
    assert len(await world.ids(chat=True)) == len(await world.ids())
    now, anew = await world.ingestion.digest(world.repository), await clean.ingestion.digest(clean.repository)
    assert now["completion"] == anew["completion"]


async def test_points_of_another_recipe_are_left_out_and_are_no_fault_of_the_filter(world: Upgraded) -> None:
    await world.upgrade("outline-2")
    await world.wanted()
    await world.index_part(world.bus.take(pb.RevisionSynced)[0])
    found, recheck = await world.asked()
    assert len(found) == 5 and len(recheck.keep(found)) == 3
    assert not recheck.dropped


async def test_old_points_that_cannot_be_deleted_yet_are_not_found_and_go_later(world: Upgraded) -> None:
    old = await world.ids()
    with pytest.MonkeyPatch.context() as away:
        away.setattr(world.index, "retire", _away)
        await world.upgrade("outline-2")
        with pytest.raises(Unavailable):
            await world.settle()
        assert old < await world.ids()
        await world.check()
        assert not {hit.id for hit in await world.seen()} & old
    world.source.commit(a_py=b"a = 2")
    await world.run()
    await world.check()
    await _equals_a_clean_index(world)


async def _away(*_: object) -> None:
    raise Unavailable("the index is away")
