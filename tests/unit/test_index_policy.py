"""A policy says what of a repository is indexed; what it leaves out is told with the rule."""

import contextlib
import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as some
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.manifest import Manifest, Served
from nearcode.domain.policy import EVERYTHING, IndexPolicy
from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.spaces import CHAT, COMPLETION
from nearcode.ingestion.selection import Selection
from nearcode.runtime import wire

LIMIT = 1_000_000
_texts = some.lists(some.text(max_size=20)).map(tuple)
POLICIES = some.builds(
    IndexPolicy,
    include=_texts,
    exclude=_texts,
    largest_file=some.integers(0, 2**63 - 1),
    spaces=some.sampled_from([(), ("completion",), ("completion", "chat")]),
)


@given(POLICIES)
def test_a_policy_is_the_same_after_the_wire_and_the_store(policy: IndexPolicy) -> None:
    assert wire.policy_from_proto(wire.policy_to_proto(policy)) == policy
    served = Served(1, "c", "a", 2, 3, 0.5, failed=1)
    manifest = Manifest("r1", "https://h/x", "x", "main", generation=1, served=served, policy=policy)
    assert Manifest.load(json.loads(json.dumps(asdict(manifest)))) == manifest


@given(POLICIES, some.integers(0, 2**31 - 1), some.floats(0, 2e9))
def test_a_status_tells_its_policy_its_failures_and_since_when_it_is_behind(
    policy: IndexPolicy, failed: int, since: float
) -> None:
    status = RepositoryStatus(
        "r1", "u", "n", "b", RepositoryState.READY, files_failed=failed, behind_since=since, policy=policy
    )
    assert wire.repository_from_proto(wire.repository_to_proto(status)) == status


def test_manifests_of_earlier_and_of_later_versions_are_read() -> None:
    manifest = Manifest("r1", "https://h/x", "x", "main", served=Served(1, "c", "a", 2, 3, 0.5))
    stored = json.loads(json.dumps(asdict(manifest)))
    del stored["policy"], stored["leaving"], stored["served"]["failed"]
    assert Manifest.load(stored) == manifest
    stored |= {"of_a_later_version": 1}
    stored["served"]["too"] = 2
    assert Manifest.load(stored) == manifest


@pytest.mark.parametrize(
    ("policy", "left_out"),
    [
        (EVERYTHING, {}),
        (IndexPolicy(exclude=("*.gen.go",)), {"api/x.gen.go": "not selected: policy exclude `*.gen.go`"}),
        (
            IndexPolicy(exclude=("api/", "!api/hand.go")),
            {"api/x.gen.go": "not selected: policy exclude `api/`", "api/y.py": "not selected: policy exclude `api/`"},
        ),
        (
            IndexPolicy(include=("*.go",), exclude=("/api/x.gen.go",)),
            {
                "api/y.py": "not selected: no pattern of policy include names it",
                "main.py": "not selected: no pattern of policy include names it",
                "api/x.gen.go": "not selected: policy exclude `/api/x.gen.go`",
            },
        ),
        (
            IndexPolicy(include=("/api/",)),
            {"main.py": "not selected: no pattern of policy include names it"},
        ),
    ],
)
def test_patterns_are_read_as_in_a_gitignore(policy: IndexPolicy, left_out: dict[str, str]) -> None:
    selection = Selection(LIMIT, policy)
    paths = ["main.py", "api/hand.go", "api/x.gen.go", "api/y.py"]
    assert {path: why for path in paths if (why := selection.why_left_out(path, 10))} == left_out


def test_no_policy_lifts_the_limit_of_the_server_or_shows_secrets() -> None:
    strict = Selection(LIMIT, IndexPolicy(largest_file=100))
    assert strict.why_left_out("a.py", 101) == "not selected: larger than policy largest_file, 100 bytes"
    assert strict.why_left_out("a.py", 100) == ""
    generous = Selection(LIMIT, IndexPolicy(include=("*",), largest_file=10 * LIMIT))
    assert generous.why_left_out("a.py", LIMIT + 1) == "larger than 1,000,000 bytes"
    assert generous.why_left_out(".env", 1) == "may hold secrets"


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (IndexPolicy(include=("",)), "policy.include"),
        (IndexPolicy(include=("*.py", "# comment")), "policy.include"),
        (IndexPolicy(exclude=("[z-a]",)), "policy.exclude"),
        (IndexPolicy(exclude=("!",)), "policy.exclude"),
        (IndexPolicy(exclude=("ends in a backslash\\",)), "policy.exclude"),
        (IndexPolicy(exclude=("two\nlines",)), "policy.exclude"),
        (IndexPolicy(exclude=("x" * 501,)), "policy.exclude"),
        (IndexPolicy(include=("*.py",) * 201), "policy.include"),
        (IndexPolicy(largest_file=-1), "policy.largest_file"),
        (IndexPolicy(spaces=("completion", "chatt")), "policy.spaces"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told_by_field(policy: IndexPolicy, field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        Selection(LIMIT, policy)
    assert error.value.field == field


@given(some.lists(some.text(max_size=30), max_size=3), some.text(max_size=40))
def test_any_text_is_a_pattern_or_refused(patterns: list[str], path: str) -> None:
    with contextlib.suppress(InvalidRequest):
        Selection(LIMIT, IndexPolicy(tuple(patterns), tuple(patterns))).why_left_out(path, 1)


def test_completion_always_is_one_of_the_spaces() -> None:
    assert all(EVERYTHING.wants(space) for space in (COMPLETION, CHAT))
    assert IndexPolicy(spaces=("chat",)).wants(COMPLETION)
    assert not IndexPolicy(spaces=("completion",)).wants(CHAT)
