"""A Repository becomes what it says, whatever happens on the way."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.errors import Unavailable
from nearcode.domain.repository import RepositoryState
from nearcode_operator.settings import WorkerSettings

from tests.operator.world import CREDENTIALS, Killed, World

UP_TO_DATE = ("True", "UpToDate")


async def test_a_repository_is_connected_indexed_by_one_job_and_ready() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    assert world.ready("shop") == UP_TO_DATE
    assert list(world.cluster.made.values()) == [1]
    status = world.cluster.stored["repositories"]["shop"]["status"]
    assert (status["commit"], status["coverage"], status["branches"][0]["generation"]) == ("c1-main", "100%", 1)
    assert {event["reason"] for event in world.cluster.events.values()} >= {"Connected", "Indexed"}


async def test_nothing_is_written_while_nothing_changes() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    world.cluster.calls.clear()
    world.engine.calls.clear()
    for _ in range(5):
        await world.sweep()
    assert not world.cluster.calls
    assert {method for method, _ in world.engine.calls} == {"observe"}


async def test_a_push_is_seen_when_the_schedule_comes() -> None:
    world = World()
    world.apply("shop", schedule="*/5 * * * *")
    await world.settle()
    world.push("shop", "c2")
    world.time.passes(11 * 60)
    await world.sweep()
    await world.settle()
    assert world.cluster.stored["repositories"]["shop"]["status"]["commit"] == "c2"


async def test_what_the_engine_hears_of_is_written_down_before() -> None:
    world = World()
    world.apply("shop", branches=["main", "next"])
    world.death.at = 5  # both lists, the engine, the credentials, then the first write
    await world.sweep()
    assert world.cluster.calls["patch repositories/status"]
    assert not [call for call in world.engine.calls if call[0] == "connect"]
    world.start()
    await world.sweep()
    named = {one["repository"] for one in world.cluster.stored["repositories"]["shop"]["status"]["branches"]}
    assert named == {world.id("shop", "main"), world.id("shop", "next")} == set(world.engine.repositories)


async def test_a_branch_that_is_taken_out_is_disconnected() -> None:
    world = World()
    world.apply("shop", branches=["main", "next"])
    await world.settle()
    world.apply("shop", branches=["main"])
    await world.settle()
    assert set(world.engine.repositories) == {world.id("shop")}
    assert [one["name"] for one in world.cluster.stored["repositories"]["shop"]["status"]["branches"]] == ["main"]


async def test_another_selection_indexes_the_same_commit_anew() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    world.apply("shop", selection={"exclude": ["docs/"]})
    await world.settle()
    known = world.engine.repositories[world.id("shop")]
    assert (known.generation, known.policy.exclude, world.ready("shop")) == (2, ("docs/",), UP_TO_DATE)


async def test_of_two_resources_for_one_repository_the_older_has_it_and_the_other_may_go() -> None:
    world = World()
    world.apply("older", repository="shop")
    world.apply("younger", repository="shop")
    await world.settle()
    assert world.ready("older") == UP_TO_DATE
    assert world.ready("younger") == ("False", "DuplicateURL")
    world.delete("younger")
    await world.settle()
    assert set(world.engine.repositories) == {world.id("shop")} and world.ready("older") == UP_TO_DATE


async def test_a_deletion_leaves_nothing_and_waits_for_the_engine() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    world.delete("shop")
    world.engine.away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.finalize()
    told = [event for event in world.cluster.events.values() if event["reason"] == "EngineUnavailable"]
    assert len(told) == 1 and "shop" in world.cluster.stored["repositories"]
    world.engine.away = False
    await world.finalize()
    assert not world.engine.repositories and not world.cluster.stored["repositories"] and not world.cluster.stored["jobs"]


async def test_without_the_engine_nothing_is_torn_down_and_what_was_seen_stays() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    before = world.cluster.stored["repositories"]["shop"]["status"]
    world.engine.away = True
    outcome = await world.sweep()
    after = world.cluster.stored["repositories"]["shop"]["status"]
    assert outcome.engine_away and world.ready("shop") == ("Unknown", "EngineUnavailable")
    assert (after["commit"], after["branches"]) == (before["commit"], before["branches"])
    world.engine.away = False
    await world.settle()
    assert world.ready("shop") == UP_TO_DATE


async def test_a_repository_that_cannot_be_fetched_touches_no_other_and_is_tried_again_ever_later() -> None:
    world = World()
    world.apply("shop")
    world.apply("gone")
    del world.engine.heads["https://git.example.com/gone", "main"]
    tries = []
    for _ in range(20):
        await world.sweep()
        world.work()
        tries.append(sum(call == ("sync", world.id("gone")) for call in world.engine.calls))
        world.time.passes(30)
    assert world.ready("gone") == ("False", "FetchFailed") and world.ready("shop")[0] == "True"
    assert 3 <= tries[-1] <= 5, tries
    world.push("gone", "c1-main")
    world.time.passes(3600)
    await world.sweep()
    await world.settle()
    assert world.ready("gone") == UP_TO_DATE


async def test_a_missing_secret_is_told_and_stops_nobody_else() -> None:
    world = World()
    world.cluster.secrets["git"] = {"token": base64.b64encode(b"sesame").decode()}
    world.apply("private", credentials={"secretRef": {"name": "git"}})
    world.apply("lost", credentials={"secretRef": {"name": "nowhere"}})
    for _ in range(12):
        await world.sweep()
        world.work()
    assert world.ready("lost") == ("False", "SecretMissing") and world.ready("private")[0] == "True"
    assert set(world.cluster.secrets[CREDENTIALS]) == {world.id("private")}
    world.cluster.secrets["nowhere"] = world.cluster.secrets["git"]
    world.time.passes(60)
    await world.settle()
    assert world.ready("lost")[0] == "True" and set(world.cluster.secrets[CREDENTIALS]) == {
        world.id("private"),
        world.id("lost"),
    }
    world.delete("private")
    await world.settle()
    assert set(world.cluster.secrets[CREDENTIALS]) == {world.id("lost")}


async def test_while_the_engine_does_not_see_new_credentials_their_secret_is_named() -> None:
    world = World()
    world.cluster.secrets["git"] = {"token": base64.b64encode(b"sesame").decode()}
    world.engine.blind = True
    world.apply("private", credentials={"secretRef": {"name": "git"}})
    for _ in range(4):
        await world.sweep()
    conditions = world.cluster.stored["repositories"]["private"]["status"]["conditions"]
    assert "does not see the credentials of Secret git yet" in conditions[0]["message"]
    world.engine.blind = False
    world.time.passes(60)
    await world.settle()
    assert world.ready("private") == UP_TO_DATE


async def test_an_impossible_schedule_is_told_and_the_index_stays() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    world.apply("shop", schedule="0 0 31 2 *")
    await world.settle()
    assert world.ready("shop") == ("False", "ImpossibleSchedule") and world.id("shop") in world.engine.repositories


async def test_an_invalid_spec_is_told_and_the_index_stays() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    world.apply("shop", priority="high")
    await world.settle()
    assert world.ready("shop") == ("False", "InvalidSpec") and world.id("shop") in world.engine.repositories


async def test_jobs_keep_within_the_budget_and_the_important_goes_first() -> None:
    world = World(budget=3)
    for number in range(5):
        world.apply(f"shop-{number}", priority=5 if number == 4 else 0)
    await world.sweep()  # connects
    await world.sweep()  # wants
    await world.sweep()
    running = {name: job["spec"]["parallelism"] for name, job in world.cluster.stored["jobs"].items()}
    assert sum(running.values()) == 3 and max(running, key=running.__getitem__).startswith("shop-4")
    assert ("False", "WaitingForBudget") in world.reasons().values()
    await world.settle()
    assert world.most_pods <= 3 and set(world.reasons().values()) == {UP_TO_DATE}


async def test_a_suspended_repository_is_neither_followed_nor_worked_on() -> None:
    world = World()
    world.apply("shop")
    for _ in range(3):
        await world.sweep()
    world.apply("shop", suspend=True)
    await world.sweep()
    assert [job["spec"]["parallelism"] for job in world.cluster.stored["jobs"].values()] == [0]
    assert world.ready("shop")[1] == "Suspended"
    world.apply("shop", suspend=False)
    await world.settle()
    assert world.ready("shop") == UP_TO_DATE


async def test_a_failed_job_is_made_anew_after_a_pause() -> None:
    world = World()
    world.apply("shop")
    for _ in range(3):
        await world.sweep()
    (job,) = world.cluster.stored["jobs"].values()
    world.tell("jobs", world.cluster.put("jobs", {**job, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}))
    await world.sweep()
    assert world.ready("shop") == ("False", "JobFailed") and world.cluster.calls["delete jobs"] == 0
    world.time.passes(61)
    await world.settle()
    assert world.ready("shop") == UP_TO_DATE and list(world.cluster.made.values()) == [2]


async def test_a_job_that_kubernetes_refuses_is_told_and_stops_no_other() -> None:
    world = World()
    world.apply("shop")
    world.apply("barred")
    world.cluster.quota.add(world.id("barred"))
    for _ in range(8):
        await world.sweep()
        world.work()
    assert world.ready("shop") == UP_TO_DATE and world.ready("barred") == ("False", "JobFailed")


async def test_standing_workers_follow_the_backlog_up_at_once_and_down_late() -> None:
    worker = WorkerSettings(deployment="nearcode-chunking", stages=("synced",), minimum=1, maximum=4, per_replica=10)
    world = World(jobs=False, workers={"chunking": worker})
    world.cluster.deployments["nearcode-chunking"] = 1
    world.engine.small = {"synced": 35, "cut": 900}
    await world.sweep()
    assert world.cluster.deployments == {"nearcode-chunking": 4}
    world.engine.small = {}
    await world.sweep()
    assert world.cluster.deployments == {"nearcode-chunking": 4}
    world.time.passes(301)
    await world.sweep()
    assert world.cluster.deployments == {"nearcode-chunking": 1}


async def test_a_repository_without_our_finalizer_is_not_touched_yet() -> None:
    world = World()
    world.apply("shop")
    body = world.cluster.stored["repositories"]["shop"]
    del body["metadata"]["finalizers"]
    world.tell("repositories", world.cluster.put("repositories", body))
    await world.sweep()
    assert not world.engine.repositories and not world.cluster.calls["patch repositories/status"]


async def test_a_build_that_failed_is_wanted_again_ever_later() -> None:
    world = World()
    world.apply("shop")
    await world.settle()
    world.engine.calls.clear()
    for _ in range(60):
        known = world.engine.repositories[world.id("shop")]
        broken = replace(known, state=RepositoryState.FAILED, error="too many files")
        world.engine.repositories[world.id("shop")] = broken
        await world.sweep()
        world.time.passes(10)
    assert 2 <= sum(call[0] == "sync" for call in world.engine.calls) <= 6


deeds = st.sampled_from(["apply", "branches", "push", "delete", "nothing"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(deeds, st.sampled_from("abc"), st.integers(1, 14), st.booleans()), min_size=1, max_size=12))
async def test_an_operator_killed_at_any_call_comes_to_the_same(steps: list[tuple[str, str, int, bool]]) -> None:
    world = World(budget=2)
    wanted: dict[str, list[str]] = {}
    commits: dict[tuple[str, str], str] = {}
    for number, (deed, name, call, done) in enumerate(steps):
        act(world, wanted, commits, (deed, name, number))
        await until_killed(world, call, done)
        world.start()
    world.time.passes(3600)  # whatever is scheduled, or waits after a failure, is due
    await world.settle(80)
    world.time.passes(3600)
    await world.settle(80)
    ids = {world.id(name, branch) for name, branches in wanted.items() for branch in branches}
    assert set(world.engine.repositories) == ids
    assert world.reasons() == dict.fromkeys(wanted, UP_TO_DATE)
    for name, branches in wanted.items():
        for branch in branches:
            assert world.engine.repositories[world.id(name, branch)].revision == commits[name, branch]
    assert not [job for job, times in world.cluster.made.items() if times > 1]
    assert world.most_pods <= 2


def act(world: World, wanted: dict[str, list[str]], commits: dict[tuple[str, str], str], deed: tuple[str, str, int]) -> None:
    """Somebody does something."""
    what, name, number = deed
    there = name in world.cluster.stored["repositories"]
    leaving = there and bool(world.cluster.stored["repositories"][name]["metadata"].get("deletionTimestamp"))
    if what in ("apply", "branches") and not leaving:
        branches = ["main", "next"] if what == "branches" else ["main"]
        world.apply(name, branches)
        wanted[name] = branches
    elif what == "push" and there:
        world.push(name, f"c-{number}")
    elif what == "delete" and there and not leaving:
        world.delete(name)
        del wanted[name]
    commits |= {(url.rpartition("/")[2], branch): head for (url, branch), head in world.engine.heads.items()}


async def until_killed(world: World, call: int, done: bool) -> None:
    """The operator works until it dies at this call, or has nothing to do."""
    world.death.at, world.death.done, world.death.calls = call, done, 0
    for _ in range(6):
        try:
            await world.finalize()
            await world.sweep()
        except Killed:
            return
        if world.death.dead:
            return
        world.work()
        world.time.passes(2)
