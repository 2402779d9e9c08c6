"""A collection that is filled behind follows what is served, whatever happens on the way."""

import random

import pytest
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain.errors import Conflict
from nearcode.domain.spaces import Opened, SpaceState, VersionedState
from nearcode.embedding.service import give_up
from nearcode.ingestion.filling import Fill
from nearcode.ingestion.models import SpaceModels
from nearcode.ingestion.worker import IngestionWorker

from tests.unit.test_ingestion_builder import URL, World

CHAT = Fill("chat", "talk", "active")


class FilledWorld(World):
    """The fill's events are played, too."""

    def __init__(self) -> None:
        super().__init__()
        self.fills = [CHAT]

    async def fill(self, most: int = 1_000) -> None:
        """Delivers what fills collections, at most so many parts."""
        filler = self.ingestion.filler
        for wish in self.bus.take(pb.FillWanted):
            await filler.build(wish)
        for event in self.bus.take(pb.RevisionSynced)[:most]:
            await filler.take(await self.index_part(event, await self.chat_index(event.build.collection)))

    async def run(self) -> None:
        """Indexes the present state, and fills."""
        await self.ingestion.sync(self.repository)
        await self.settle()
        await self.fill()

    async def chat_holds(self) -> dict[str, str]:
        return {str(p.payload["path"]): str(p.payload["blob"]) async for p in (await self.chat_index()).scan(self.repository)}

    def now(self) -> dict[str, str]:
        return {file.path: file.blob for file in self.source.snapshot().files}


@pytest.fixture
async def world() -> FilledWorld:
    world = FilledWorld()
    world.source.commit(a_py=b"a = 1", b_py=b"b = 1", c_py=b"c = 1")
    await world.ingestion.connect(URL)
    return world


async def test_what_is_served_is_filled_and_told(world: FilledWorld) -> None:
    await world.ingestion.sync(world.repository)
    await world.settle()
    [coverage] = (await world.ingestion.get(world.repository)).coverage
    assert (coverage.files_done, coverage.files_total) == (0, 3)
    await world.fill()
    assert await world.chat_holds() == world.now()
    [coverage] = (await world.ingestion.get(world.repository)).coverage
    assert coverage.ratio == 1.0 and coverage.role == "active"


async def test_questions_are_answered_before_anything_is_filled(world: FilledWorld) -> None:
    await world.ingestion.sync(world.repository)
    await world.settle()
    assert (await world.ingestion.get(world.repository)).revision
    assert await world.chat_holds() == {}


async def test_a_change_fills_only_the_changed_file(world: FilledWorld) -> None:
    await world.run()
    world.source.commit(a_py=b"a = 2", b_py=b"b = 1")
    await world.ingestion.sync(world.repository)
    await world.settle()
    for wish in world.bus.take(pb.FillWanted):
        await world.ingestion.filler.build(wish)
    [event] = world.bus.take(pb.RevisionSynced)
    assert [file.path for file in event.files] == ["a.py"]
    await world.ingestion.filler.take(await world.index_part(event, await world.chat_index()))
    assert await world.chat_holds() == world.now()


@pytest.mark.parametrize("seed", range(20))
async def test_after_any_changes_and_crashes_it_holds_what_is_served(world: FilledWorld, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        names = chance.sample(["a_py", "b_py", "c_py", "d_py"], chance.randint(1, 4))
        world.source.commit(**{name: b"%s = %d" % (name[0].encode(), chance.randrange(3)) for name in names})
        await world.ingestion.sync(world.repository)
        await world.settle()
        await world.fill(chance.choice([0, 1, 1_000]))
        if chance.random() < 0.5:
            world.restart()
            await world.ingestion.resume()
            await world.ingestion.want_fills()
    world.bus.ids.clear()  # the broker forgets ids after ten minutes
    world.restart()
    await world.ingestion.resume()
    await world.ingestion.want_fills()
    await world.fill()
    assert await world.chat_holds() == world.now()


async def test_a_disconnected_repository_leaves_nothing_behind(world: FilledWorld) -> None:
    await world.run()
    repository = world.repository
    await world.ingestion.disconnect(repository)
    assert [point async for point in (await world.chat_index()).scan(repository)] == []
    assert not world.manifests.kept and not world.artifacts.kept


async def test_a_collection_that_is_not_filled_any_more_is_forgotten_too(world: FilledWorld) -> None:
    await world.run()
    repository, world.fills = world.repository, []  # the chat space was switched off
    await world.ingestion.disconnect(repository)
    assert [point async for point in (await world.chat_index()).scan(repository)] == []
    assert not world.manifests.kept and not world.artifacts.kept


async def test_a_model_that_cannot_be_used_is_told_and_tried_again_with_the_next_revision_or_start(world: FilledWorld) -> None:
    worker = IngestionWorker(world.bus, world.ingestion)
    await world.ingestion.sync(world.repository)
    await world.settle()
    for wish in world.bus.take(pb.FillWanted):
        await world.ingestion.filler.build(wish)
    event, *_ = world.bus.take(pb.RevisionSynced)
    cut = pb.ChunksCut(repository=event.repository, build=event.build, part=event.part, batches=1)
    await worker.filled(give_up(cut, "the model is not here"))
    [coverage] = (await world.ingestion.get(world.repository)).coverage
    assert (coverage.ratio, coverage.error) == (0.0, "the model is not here")
    world.restart()
    await world.ingestion.resume()
    await world.ingestion.want_fills()
    await world.fill()
    [coverage] = (await world.ingestion.get(world.repository)).coverage
    assert (coverage.ratio, coverage.error) == (1.0, "")
    assert await world.chat_holds() == world.now()


class MemoryStates:
    """Implements SpaceStates."""

    def __init__(self, state: SpaceState) -> None:
        self.found = VersionedState(state, 1)

    async def get(self, space: str) -> VersionedState | None:
        return self.found if space == self.found.state.space else None

    async def create(self, state: SpaceState) -> None:
        raise Conflict("there is one")

    async def update(self, state: SpaceState, version: int) -> int:
        if version != self.found.version:
            raise Conflict("changed")
        self.found = VersionedState(state, version + 1)
        return version + 1


def models_of(world: FilledWorld, states: MemoryStates) -> SpaceModels:
    async def opened(space: str, profile: str) -> Opened:
        return Opened(await world.chat_index(f"{space}-{profile}"), None)  # type: ignore[arg-type]

    async def changed(space: str) -> None:
        world.fills = [Fill(space, name, role) for role, name in states.found.state.roles.items()]

    return SpaceModels(states, world.ingestion.filler, opened, changed)


async def test_a_model_answers_only_after_every_repository_is_filled(world: FilledWorld) -> None:
    await world.run()
    states = MemoryStates(SpaceState("chat", "talk"))
    models = models_of(world, states)
    await models.use("chat", "other")
    with pytest.raises(Conflict, match="other is not filled yet: 0 of 3 files"):
        await models.swap("chat")
    await world.fill()
    status = await models.swap("chat")
    assert (status.state.active, status.state.previous) == ("other", "talk")
    assert (await models.roll_back("chat")).state.active == "talk"


async def test_a_model_that_is_given_up_is_deleted(world: FilledWorld) -> None:
    await world.run()
    models = models_of(world, MemoryStates(SpaceState("chat", "talk")))
    await models.use("chat", "other")
    await world.fill()
    await models.abandon("chat")
    assert await world.manifests.get(world.repository, "chat-other") is None
    assert await world.manifests.get(world.repository, "chat-talk") is not None
