"""What a resource shows, and the story that its events tell."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nearcode.domain.repository import Progress, RepositoryState, RepositoryStatus, repository_id
from nearcode.domain.spaces import Coverage
from nearcode_operator.conditions import Fault, Reason, condition
from nearcode_operator.model import Job, Key, Resource
from nearcode_operator.observation import Observation
from nearcode_operator.resources import InvalidSpec, parse
from nearcode_operator.status import changes, intended, observed
from nearcode_operator.story import events

from tests.operator.bodies import COMMIT, URL, body, engine, resource

MAIN, DEV = repository_id(URL, "main"), repository_id(URL, "dev")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BEHIND = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
JOB = Job(Key("code", "shop-01234567-g1"), MAIN, generation=1, parallelism=2)
INDEXING = engine(state=RepositoryState.INDEXING, progress=Progress(30, 120, 400), behind_since=BEHIND)


def seen(*repositories: RepositoryStatus, **values: Any) -> Observation:
    return Observation(repositories={one.id: one for one in repositories}, **values)


def verdict(status: Mapping[str, Any], kind: str = "Ready") -> tuple[str, str]:
    one = condition(status, kind)
    return one["status"], one["reason"]


def message(status: Mapping[str, Any], kind: str = "Ready") -> str:
    return str(condition(status, kind)["message"])


def with_status(one: Resource, observation: Observation, now: datetime = NOW) -> Resource:
    return replace(one, status=observed(one, observation, now))


def test_an_indexed_repository_is_ready() -> None:
    status = observed(resource(), seen(engine()), NOW)
    assert [verdict(status, kind) for kind in ("Ready", "Connected", "Indexed")] == [
        ("True", "UpToDate"),
        ("True", "Connected"),
        ("True", "UpToDate"),
    ]
    assert (status["commit"], status["coverage"], status["observedGeneration"]) == ("4f0c2a9d1b7e", "100%", 3)
    assert "behindSince" not in status
    assert status["branches"] == [
        {
            "name": "main",
            "repository": MAIN,
            "state": "Ready",
            "commit": COMMIT,
            "wanted": COMMIT,
            "generation": 1,
            "coverage": "100%",
            "files": 1234,
            "failed": 0,
            "chunks": 9000,
            "seconds": 12.0,
        }
    ]
    assert message(status) == "main is indexed at 4f0c2a9d1b7e: 1,234 files."


def test_a_first_index_shows_how_far_it_is() -> None:
    status = observed(resource(), seen(INDEXING, jobs={MAIN: JOB}), NOW)
    assert verdict(status) == ("False", "Indexing")
    assert (status["coverage"], status["behindSince"]) == ("25%", "2026-01-01T00:00:00Z")
    assert status["branches"][0]["job"] == "shop-01234567-g1"
    assert "commit" not in status


def test_a_small_change_takes_little_off_the_coverage() -> None:
    change = replace(INDEXING, revision="0" * 40, files=1000, progress=Progress(1, 3))
    assert observed(resource(), seen(change), NOW)["coverage"] == "99%"


def test_coverage_counts_the_space_that_is_filled_behind() -> None:
    filling = engine(coverage=(Coverage("chat", "small", "active", 617, 1234), Coverage("chat", "big", "building", 1, 1234)))
    status = observed(resource(), seen(filling), NOW)
    assert (verdict(status), status["coverage"]) == (("True", "UpToDate"), "50%")
    assert "50% of them in every index space" in message(status)


def test_a_finished_job_alone_makes_nothing_ready() -> None:
    status = observed(resource(), seen(INDEXING, jobs={MAIN: replace(JOB, succeeded=True)}), NOW)
    assert verdict(status) == ("False", "Indexing")


def test_all_branches_have_to_be_ready() -> None:
    two = resource(branches=["main", "dev"])
    dev = engine("dev", RepositoryState.INDEXING, progress=Progress(1, 10), behind_since=BEHIND)
    status = observed(two, seen(engine(), dev), NOW)
    assert verdict(status) == ("False", "Indexing")
    assert (status["commit"], status["coverage"], status["behindSince"]) == ("4f0c2a9d1b7e", "10%", "2026-01-01T00:00:00Z")
    assert "of dev" in message(status) and "main" not in message(status)
    assert verdict(observed(two, seen(engine(), engine("dev")), NOW)) == ("True", "UpToDate")


WAITING = {MAIN: replace(JOB, parallelism=0)}
BROKEN = {MAIN: replace(JOB, failed=True)}
FAULT = Fault(Reason.SECRET_MISSING, "there is no Secret git: create it")


@pytest.mark.parametrize(
    ("observation", "reason", "words"),
    [
        (seen(), "Connecting", "Fetching main of https://git.example.com/team/shop for the first time"),
        (seen(failures={MAIN: "no answer from git.example.com"}), "FetchFailed", "main: no answer from git.example.com."),
        (seen(engine(), failures={MAIN: "password refused"}), "FetchFailed", "password refused"),
        (seen(engine(), faults=(FAULT,)), "SecretMissing", "create it"),
        (seen(taken={MAIN: Key("code", "older")}), "DuplicateURL", "main belongs to Repository code/older, which is older."),
        (seen(INDEXING, jobs=WAITING), "WaitingForBudget", "jobs.budget"),
        (seen(INDEXING, jobs=BROKEN), "JobFailed", "Job shop-01234567-g1 failed and is made anew"),
        (seen(engine(state=RepositoryState.FAILED, error="no space")), "IndexFailed", "commit 4f0c2a9d1b7e of main: no space."),
    ],
)
def test_what_is_not_ready_says_why_and_what_to_do(observation: Observation, reason: str, words: str) -> None:
    status = observed(resource(), observation, NOW)
    assert verdict(status) == ("False", reason)
    assert words in message(status)
    told = events({}, status)
    assert (words in "".join(event.message for event in told)) == (reason != "Connecting")


def test_an_engine_that_is_away_leaves_what_was_known() -> None:
    before = with_status(resource(), seen(engine()))
    status = observed(before, Observation(repositories=None, unavailable="no answer from engine:8443"), NOW)
    assert verdict(status) == ("Unknown", "EngineUnavailable")
    assert "no answer from engine:8443" in message(status)
    for kept in ("branches", "commit", "coverage"):
        assert status[kept] == before.status[kept]


def test_suspended_is_ready_if_it_is_indexed() -> None:
    status = observed(resource(suspend=True), seen(engine()), NOW)
    assert verdict(status) == ("True", "Suspended")
    assert verdict(observed(resource(suspend=True), seen(INDEXING), NOW)) == ("False", "Suspended")


def test_a_spec_that_cannot_be_read_keeps_its_branches_in_mind() -> None:
    before = dict(with_status(resource(), seen(engine())).status)
    with pytest.raises(InvalidSpec) as refused:
        parse(body(status=before, branches="main"))
    unread = refused.value.resource
    status = observed(unread, seen(engine(), faults=(Fault(Reason.INVALID_SPEC, refused.value.message),)), NOW)
    assert verdict(status) == ("False", "InvalidSpec")
    assert status["branches"] == before["branches"]


def test_nothing_changes_while_nothing_changes() -> None:
    observations = [
        seen(engine()),
        seen(INDEXING, jobs={MAIN: JOB}),
        seen(failures={MAIN: "no"}),
        Observation(repositories=None),
    ]
    for observation in observations:
        first = with_status(resource(), observation)
        second = observed(first, observation, NOW + timedelta(hours=1))
        assert second == first.status
        assert changes(first.status, second) == {}
        assert events(first.status, second) == []


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    one = with_status(resource(), seen(INDEXING))
    one = with_status(one, seen(INDEXING, jobs=BROKEN), NOW + timedelta(minutes=1))
    assert condition(one.status, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    one = with_status(one, seen(engine()), NOW + timedelta(minutes=2))
    assert condition(one.status, "Ready")["lastTransitionTime"] == "2026-01-02T03:06:05Z"
    assert condition(one.status, "Connected")["lastTransitionTime"] == "2026-01-02T03:04:05Z"


def test_looks_at_the_git_server_are_told() -> None:
    one = with_status(resource(), seen(engine(), last_sync=NOW, next_sync=NOW + timedelta(minutes=5)))
    assert (one.status["lastSync"], one.status["nextSync"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:09:05Z")
    later = observed(one, seen(engine()), NOW)
    assert later["lastSync"] == "2026-01-02T03:04:05Z"
    assert "nextSync" not in later, "nobody knows when it is next"


def test_a_branch_is_in_the_status_before_the_engine_hears_of_it_and_until_it_has_forgotten_it() -> None:
    one = resource(branches=["main", "dev"])
    one = replace(one, status=intended(one))
    assert [(branch["repository"], branch["state"]) for branch in one.status["branches"]] == [
        (MAIN, "Pending"),
        (DEV, "Pending"),
    ]
    assert intended(one) == one.status
    less = replace(with_status(one, seen(engine(), engine("dev"))), branches=("main",))
    going = observed(less, seen(engine(), engine("dev"), dropped={DEV: "dev"}), NOW)
    assert going["branches"][1] == {"name": "dev", "repository": DEV, "state": "Disconnecting"}
    assert verdict(going) == ("True", "UpToDate")
    assert len(observed(less, seen(engine(), dropped={DEV: "dev"}), NOW)["branches"]) == 1


def test_a_patch_takes_out_what_is_gone() -> None:
    assert changes({"a": 1, "b": 2, "c": [1]}, {"a": 1, "c": [2], "d": 3}) == {"c": [2], "d": 3, "b": None}


def test_the_story_of_a_repository() -> None:
    update = engine(generation=2, wanted="b" * 40, revision="b" * 40, files=1235, seconds=0.62)
    story = [
        seen(),
        seen(INDEXING),
        seen(INDEXING, jobs={MAIN: JOB}),
        seen(replace(INDEXING, progress=Progress(100, 120)), jobs={MAIN: JOB}),
        seen(engine(files_failed=3)),
        seen(engine(files_failed=3), failures={MAIN: "no answer after 3 s"}),
        seen(engine(files_failed=3), failures={MAIN: "no answer after 4 s"}),
        seen(engine(files_failed=3)),
        Observation(repositories=None, unavailable="no answer"),
        seen(update),
    ]
    one, told = resource(), []
    for step, observation in enumerate(story):
        status = observed(one, observation, NOW + timedelta(seconds=step))
        told += [f"{event.type} {event.reason}: {event.message}" for event in events(one.status, status)]
        one = replace(one, status=status)
    assert told == [
        "Normal Connected: Follows main of https://git.example.com/team/shop.",
        "Normal Indexing: Indexing commit 4f0c2a9d1b7e of main.",
        "Normal JobCreated: Job shop-01234567-g1 indexes commit 4f0c2a9d1b7e of main.",
        "Normal Indexed: Indexed 1,234 files of main at 4f0c2a9d1b7e in 12 s. 3 could not be indexed.",
        "Warning FetchFailed: main: no answer after 3 s.",
        "Normal Recovered: FetchFailed is over. Follows main of https://git.example.com/team/shop.",
        "Warning EngineUnavailable: The engine does not answer: no answer. What was last seen is shown; it goes on when the "
        "engine answers.",
        "Normal Recovered: EngineUnavailable is over. Follows main of https://git.example.com/team/shop.",
        "Normal Indexed: Indexed 1,235 files of main at bbbbbbbbbbbb in 0.6 s.",
    ]


def test_pausing_and_going_on_are_told() -> None:
    one = with_status(resource(), seen(engine()))
    paused = with_status(replace(one, suspended=True), seen(engine()))
    assert [event.reason for event in events(one.status, paused.status)] == ["Suspended"]
    on = with_status(replace(paused, suspended=False), seen(engine()))
    assert [event.reason for event in events(paused.status, on.status)] == ["Resumed"]


def test_a_branch_that_is_gone_is_told_once() -> None:
    two = with_status(resource(branches=["main", "dev"]), seen(engine(), engine("dev")))
    one = replace(two, branches=("main",))
    going = with_status(one, seen(engine(), engine("dev"), dropped={DEV: "dev"}))
    assert [event.reason for event in events(two.status, going.status)] == ["Connected"]
    gone = with_status(going, seen(engine(), dropped={DEV: "dev"}))
    assert [event.message for event in events(going.status, gone.status)] == ["dev is not followed any more."]
