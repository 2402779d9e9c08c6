"""A connected repository follows its policy: at once, whatever is going on."""

import random

import pytest
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.api.repositories.v1.repositories_pb2 import FILE_STATE_FAILED
from nearcode.domain.errors import InvalidRequest, Unavailable
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import FileState, RepositoryState
from nearcode.ingestion.digest import digest_of

from tests.unit.test_filling import FilledWorld
from tests.unit.test_ingestion_builder import URL, World

NO_B = IndexPolicy(exclude=("b.py",))
FILES = {"a_py": b"a = 1", "b_py": b"b = 1", "c_py": b"c = 1"}


@pytest.fixture
async def world() -> World:
    world = World()
    world.source.commit(**FILES)
    await world.ingestion.connect(URL)
    await world.ingestion.sync(world.repository)
    await world.settle()
    return world


async def fresh_digest(policy: IndexPolicy, files: dict[str, bytes]) -> str:
    """Of a repository that never was anything else."""
    fresh = World()
    fresh.source.commit(**files)
    await fresh.ingestion.connect(URL, policy=policy)
    await fresh.ingestion.sync(fresh.repository)
    await fresh.settle()
    return await digest_of(fresh.index, fresh.repository)


async def test_files_newly_left_out_lose_their_points_and_are_listed_with_the_rule(world: World) -> None:
    status = await world.ingestion.connect(URL, policy=NO_B)
    assert (status.generation, status.policy) == (2, NO_B)
    await world.settle()
    assert sorted(await world.stored()) == ["a.py", "c.py"]
    assert await digest_of(world.index, world.repository) == await fresh_digest(NO_B, FILES)
    [left_out] = [file for file in await world.ingestion.list_files(world.repository) if file.state is FileState.SKIPPED]
    assert (left_out.path, left_out.reason) == ("b.py", "not selected: policy exclude `b.py`")
    status = await world.ingestion.get(world.repository)
    assert (status.state, status.files, status.policy) == (RepositoryState.READY, 2, NO_B)


async def test_files_that_are_let_in_again_are_indexed_and_no_other(world: World) -> None:
    await world.ingestion.connect(URL, policy=NO_B)
    await world.settle()
    await world.ingestion.connect(URL, policy=IndexPolicy())
    await world.wanted()
    [event] = world.bus.take(pb.RevisionSynced)
    assert [file.path for file in event.files] == ["b.py"]
    await world.ingestion.builder.take(await world.index_part(event))
    assert sorted(await world.stored()) == ["a.py", "b.py", "c.py"]


async def test_connecting_again_changes_nothing_with_the_same_policy_or_none(world: World) -> None:
    await world.ingestion.connect(URL, policy=NO_B)
    await world.settle()
    assert (await world.ingestion.connect(URL, policy=NO_B)).generation == 2
    assert (await world.ingestion.connect(URL)).policy == NO_B
    assert not world.bus.take(pb.RevisionWanted)


async def test_a_repository_that_was_never_indexed_begins_with_its_new_policy() -> None:
    world = World()
    world.source.commit(**FILES)
    await world.ingestion.connect(URL)
    assert (await world.ingestion.connect(URL, policy=NO_B)).generation == 0
    await world.ingestion.sync(world.repository)
    await world.settle()
    assert sorted(await world.stored()) == ["a.py", "c.py"]


async def test_a_change_while_a_build_is_under_way_is_not_lost(world: World) -> None:
    world.source.commit(a_py=b"a = 2", b_py=b"b = 2", c_py=b"c = 2", d_py=b"d = 2")
    await world.ingestion.sync(world.repository)
    await world.wanted()
    half, *rest = world.bus.take(pb.RevisionSynced)
    await world.ingestion.builder.take(await world.index_part(half))
    await world.ingestion.connect(URL, policy=NO_B)
    for late in rest:
        await world.ingestion.builder.take(await world.index_part(late))
    await world.settle()
    assert sorted(await world.stored()) == ["a.py", "c.py", "d.py"]


async def test_a_sync_after_the_change_waits_for_nothing_and_swallows_nothing(world: World) -> None:
    await world.ingestion.connect(URL, policy=NO_B)
    assert (await world.ingestion.sync(world.repository)).generation == 2
    await world.settle()
    assert sorted(await world.stored()) == ["a.py", "c.py"]


async def test_a_wish_that_could_not_be_announced_is_announced_by_the_next_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(event: object, *, message_id: str, queue: str = "small") -> None:
        raise Unavailable("the broker is away")

    with monkeypatch.context() as broken:
        broken.setattr(world.bus, "publish", away)
        with pytest.raises(Unavailable):
            await world.ingestion.connect(URL, policy=NO_B)
    await world.ingestion.connect(URL, policy=NO_B)
    await world.settle()
    assert sorted(await world.stored()) == ["a.py", "c.py"]


@pytest.mark.parametrize("seed", range(20))
async def test_after_any_commits_policies_and_restarts_the_index_is_as_if_it_was_never_otherwise(seed: int) -> None:
    chance, world = random.Random(seed), World()
    world.source.commit(**FILES)
    await world.ingestion.connect(URL)
    files, policy = FILES, IndexPolicy()
    for _ in range(8):
        if chance.random() < 0.5:
            names = chance.sample(["a_py", "b_py", "c_py", "d_py", "e_py"], chance.randint(1, 5))
            files = {name: b"x = %d" % chance.randrange(3) for name in names}
            world.source.commit(**files)
            await world.ingestion.sync(world.repository)
        else:
            patterns = tuple(chance.sample(["a.py", "b.py", "[cd].py", "*"], chance.randint(0, 2)))
            policy = IndexPolicy(exclude=patterns) if chance.random() < 0.5 else IndexPolicy(include=patterns)
            await world.ingestion.connect(URL, policy=policy)
        await world.wanted()
        for event in world.bus.take(pb.RevisionSynced)[: chance.randint(0, 3)]:
            await world.ingestion.builder.take(await world.index_part(event))
        if chance.random() < 0.3:
            world.restart()
    await world.ingestion.sync(world.repository)
    world.bus.ids.clear()  # the broker forgets ids after ten minutes
    world.restart()
    await world.ingestion.resume()
    await world.settle()
    assert await digest_of(world.index, world.repository) == await fresh_digest(policy, files)


@pytest.mark.parametrize("policy", [IndexPolicy(exclude=("[z-a]",)), IndexPolicy(largest_file=-1), IndexPolicy(spaces=("x",))])
async def test_a_policy_that_cannot_be_followed_is_refused_and_changes_nothing(world: World, policy: IndexPolicy) -> None:
    with pytest.raises(InvalidRequest):
        await world.ingestion.connect(URL, policy=policy)
    assert (await world.ingestion.get(world.repository)).policy == IndexPolicy()


async def test_files_that_failed_are_counted(world: World) -> None:
    world.source.commit(a_py=b"a = 2", b_py=b"b = 1")
    await world.ingestion.sync(world.repository)
    await world.wanted()
    [event] = world.bus.take(pb.RevisionSynced)
    outcome = await world.index_part(event)
    outcome.files[0].state, outcome.files[0].reason = FILE_STATE_FAILED, "too deep"
    await world.ingestion.builder.take(outcome)
    status = await world.ingestion.get(world.repository)
    assert (status.files, status.files_failed) == (1, 1)


async def test_a_repository_outside_of_the_chat_space_has_nothing_in_it() -> None:
    world = FilledWorld()
    world.source.commit(**FILES)
    await world.ingestion.connect(URL)
    await world.run()
    assert len(await world.chat_holds()) == 3
    status = await world.ingestion.connect(URL, policy=IndexPolicy(spaces=("completion",)))
    assert (status.generation, status.coverage) == (1, ())
    assert await world.chat_holds() == {} and list(world.manifests.kept) == [world.repository]
    world.source.commit(a_py=b"a = 2")
    await world.run()
    assert await world.chat_holds() == {} and sorted(await world.stored()) == ["a.py"]
    [status] = await world.ingestion.list_repositories(coverage=True)
    assert status.coverage == ()
    await world.ingestion.connect(URL, policy=IndexPolicy(spaces=("completion", "chat")))
    await world.fill()
    assert await world.chat_holds() == world.now()
    [status] = await world.ingestion.list_repositories(coverage=True)
    assert [one.ratio for one in status.coverage] == [1.0]


async def test_what_a_crash_left_in_a_space_goes_with_the_next_start() -> None:
    world = FilledWorld()
    world.source.commit(**FILES)
    await world.ingestion.connect(URL)
    await world.run()
    found = await world.manifests.get(world.repository)
    assert found
    await world.manifests.update(found.manifest.follow(IndexPolicy(spaces=("completion",))), found.version)
    world.restart()
    await world.ingestion.resume()
    await world.ingestion.want_fills()
    assert await world.chat_holds() == {} and list(world.manifests.kept) == [world.repository]
