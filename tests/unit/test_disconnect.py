"""A disconnected repository leaves nothing, whatever fails on the way."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain.errors import Conflict, NotFound, Unavailable
from nearcode.domain.repository import RepositoryState

from tests.unit.test_filling import FilledWorld
from tests.unit.test_ingestion_builder import URL

STEPS = 40
"""More than a disconnection has."""


class Crashing:
    """Fails at one of the calls that stores, index and queues get."""

    def __init__(self, world: FilledWorld, at: int) -> None:
        self.left = at
        for store, names in (
            (world.manifests, ("update", "delete")),
            (world.artifacts, ("delete",)),
            (world.builds, ("forget",)),
            (world.index, ("drop",)),
            (world.chat_indexes["chat-talk"], ("drop",)),
            (world.queues, ("purge",)),
            (world.bus, ("publish",)),
        ):
            for name in names:
                setattr(store, name, self._crashing(getattr(store, name)))

    def _crashing(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                raise Unavailable("a crash")
            return await method(*arguments, **named)

        return call


@pytest.fixture
async def world() -> FilledWorld:
    """With a revision that is served and filled, and one that is half built."""
    world = FilledWorld()
    world.source.commit(a_py=b"a = 1", b_py=b"b = 1", c_py=b"c = 1")
    await world.ingestion.connect(URL)
    await world.run()
    world.source.commit(a_py=b"a = 2", b_py=b"b = 2", c_py=b"c = 2")
    await world.ingestion.sync(world.repository)
    await world.wanted()
    first, *_ = world.bus.take(pb.RevisionSynced)
    await world.ingestion.builder.take(await world.index_part(first))
    return world


async def leaves_nothing(world: FilledWorld, repository: str) -> None:
    assert not [point async for point in world.index.scan(repository)]
    assert not [point async for point in (await world.chat_index()).scan(repository)]
    assert not world.manifests.kept and not world.artifacts.kept and not world.builds.kept
    assert repository in world.sources.forgotten and repository in world.queues.purged


@pytest.mark.parametrize("step", range(STEPS))
async def test_after_a_crash_at_any_step_once_more_ends_the_same(world: FilledWorld, step: int) -> None:
    repository, crash = world.repository, Crashing(world, step)
    try:
        await world.ingestion.disconnect(repository)
    except Unavailable:
        assert repository in world.manifests.kept
        await world.ingestion.disconnect(repository)
    await leaves_nothing(world, repository)
    assert step < STEPS - 1 or crash.left > 0, "there are more steps than are tried"
    with pytest.raises(NotFound):
        await world.ingestion.disconnect(repository)


@pytest.mark.parametrize("step", range(0, STEPS, 3))
async def test_after_a_crash_the_next_start_does_the_rest(world: FilledWorld, step: int) -> None:
    repository = world.repository
    Crashing(world, step)
    try:
        await world.ingestion.disconnect(repository)
    except Unavailable:
        world.restart()
        await world.ingestion.resume()
    if step:  # at the first step nothing was begun
        await leaves_nothing(world, repository)


async def test_what_is_half_disconnected_serves_nothing_and_says_so(world: FilledWorld) -> None:
    repository = world.repository
    Crashing(world, 2)
    with pytest.raises(Unavailable):
        await world.ingestion.disconnect(repository)
    [status] = await world.ingestion.list_repositories()
    assert (status.state, status.revision) == (RepositoryState.FAILED, "")
    assert "being disconnected" in status.error
    with pytest.raises(Conflict, match="being disconnected"):
        await world.ingestion.sync(repository)


async def test_late_events_do_not_bring_it_back(world: FilledWorld) -> None:
    repository = world.repository
    late = [event for event in world.bus.published if isinstance(event, pb.RevisionSynced)]
    outcomes = [await world.index_part(event) for event in late]
    Crashing(world, 2)
    with pytest.raises(Unavailable):
        await world.ingestion.disconnect(repository)
    for outcome in outcomes:
        await world.ingestion.builder.take(outcome)
    await world.ingestion.filler.want(repository)
    await world.ingestion.disconnect(repository)
    await leaves_nothing(world, repository)


async def test_a_repository_that_is_connected_while_it_leaves_begins_anew(world: FilledWorld) -> None:
    Crashing(world, 3)
    with pytest.raises(Unavailable):
        await world.ingestion.disconnect(world.repository)
    status = await world.ingestion.connect(URL)
    assert (status.state, status.generation) == (RepositoryState.CONNECTED, 0)
    await world.run()
    assert await world.stored() == await world.chat_holds() == world.now()
