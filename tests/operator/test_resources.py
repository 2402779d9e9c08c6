"""What is read of a Repository resource, and the objects that are made of it."""

import base64
import re
import subprocess
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.policy import SPACES, IndexPolicy
from nearcode.domain.repository import repository_id
from nearcode_operator.model import Job, Key, Limits, Resource
from nearcode_operator.resources import InvalidSpec, credentials, job, job_name, parse, read_job, schema_of
from nearcode_operator.specification import Specification

from tests.operator.bodies import URL, body, resource

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
RESOURCE_NAME = r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}"
TEMPLATE: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"labels": {"app.kubernetes.io/component": "work"}},
    "spec": {
        "backoffLimit": 6,
        "ttlSecondsAfterFinished": 600,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "work", "image": "nearcode/engine"}]}},
    },
}


def problems(**spec: Any) -> str:
    with pytest.raises(InvalidSpec) as refused:
        parse(body(**spec))
    return refused.value.message


def read(one: dict[str, Any]) -> Resource:
    """As far as it can be read."""
    try:
        return parse(one)
    except InvalidSpec as refused:
        return refused.resource


def test_a_url_alone_is_enough() -> None:
    known = resource()
    assert (known.url, known.branches, known.policy) == (URL, ("main",), IndexPolicy(spaces=SPACES))
    assert (known.schedule, known.limits, known.priority, known.suspended) == ("*/5 * * * *", Limits(1, 4), 0, False)
    assert (known.key, known.uid, known.generation) == (Key("code", "shop"), "uid-of-shop", 3)


def test_everything_that_can_be_written_is_read() -> None:
    known = resource(
        url="https://Git.Example.com/team/shop.git/",
        branches=["main", "release/1.2"],
        selection={"include": ["src/**"], "exclude": ["*.min.js"], "largestFile": "512Ki"},
        schedule="0 3 * * *",
        indexSpaces=["completion"],
        credentials={"secretRef": {"name": "git.token"}},
        scaling={"minWorkers": 2, "maxWorkers": 8},
        priority=7,
        suspend=True,
    )
    assert known.url == URL
    assert known.branches == ("main", "release/1.2")
    assert known.policy == IndexPolicy(("src/**",), ("*.min.js",), 512 * 1024, ("completion",))
    assert (known.schedule, known.credentials, known.limits) == ("0 3 * * *", "git.token", Limits(2, 8))
    assert (known.priority, known.suspended) == (7, True)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"url": "http://git.example.com/a"}, "spec.url is no https:// URL: write https://HOST/PATH"),
        ({"url": "file:///srv/code"}, "spec.url is no https:// URL"),
        ({"url": "https://git.example.com:port/a"}, "spec.url is no https:// URL"),
        ({"url": "https://git.example.com/a?b"}, "without query"),
        ({"url": 5}, "spec.url must be a text"),
        ({"url": None}, "spec.url is missing: name the repository"),
        ({"branches": []}, "spec.branches must name 1 to 16 branches, each once"),
        ({"branches": ["main", "main"]}, "each once"),
        ({"branches": "main"}, "spec.branches must be a list of texts"),
        ({"branches": ["a..b"]}, "names 'a..b', which git allows for no branch"),
        ({"selection": {"largestFile": "1GB"}}, "spec.selection.largestFile is no size: write bytes, or"),
        ({"selection": {"include": [""]}}, "spec.selection.include must be at most 64 patterns"),
        ({"selection": "src"}, "spec.selection is no set of fields"),
        ({"indexSpaces": ["chat"]}, "spec.indexSpaces must be [completion] or [completion, chat]"),
        ({"credentials": {"secretRef": {"name": "No_Name"}}}, "spec.credentials.secretRef.name is no name of a Secret"),
        ({"scaling": {"minWorkers": 5, "maxWorkers": 2}}, "minWorkers is above maxWorkers, 2: lower it, or raise maxWorkers"),
        ({"scaling": {"minWorkers": 5}}, "minWorkers is above maxWorkers, 4"),
        ({"scaling": {"maxWorkers": 0}}, "spec.scaling.maxWorkers must be a whole number from 1 to 256"),
        ({"priority": "high"}, "spec.priority must be a whole number from -100 to 100"),
        ({"priority": True}, "spec.priority must be a whole number"),
        ({"suspend": "yes"}, "spec.suspend must be true or false"),
    ],
)
def test_a_spec_of_another_schema_is_told_in_words(spec: dict[str, Any], words: str) -> None:
    assert words in problems(**spec)


def test_all_problems_are_told_at_once() -> None:
    told = problems(url="ftp://x/y", priority=1000, suspend=1)
    assert told.count(";") == 2 and "spec.url" in told and "spec.priority" in told and "spec.suspend" in told


@given(st.sampled_from(["https://", "http://", "//", "ssh://"]), st.from_regex(r"[a-z]{1,5}(:[a-z0-9]{0,9})?", fullmatch=True))
def test_a_password_in_a_url_is_refused_and_repeated_nowhere(scheme: str, user: str) -> None:
    told = problems(url=f"{scheme}{user}s3cret@git.example.com/a")
    assert "take it out" in told and "s3cret" not in told


def test_what_cannot_be_read_still_names_itself_and_keeps_what_it_owns() -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse(body(status={"commit": "abc"}, branches=["main"], priority="high"))
    known = refused.value.resource
    assert (known.key, known.status, known.url, known.branches) == (Key("code", "shop"), {"commit": "abc"}, URL, ("main",))
    with pytest.raises(InvalidSpec) as refused:
        parse(body(branches=[5]))
    assert refused.value.resource.branches == ()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["url", "branches", "selection", "schedule", "indexSpaces", "credentials", "scaling", "priority", "suspend", "colour"]
)


@settings(max_examples=300)
@given(anything | st.dictionaries(fields, anything, max_size=5))
def test_no_spec_breaks_the_operator(spec: Any) -> None:
    one = body()
    one["spec"] = spec
    known = read(one)
    assert known.uid == "uid-of-shop"
    assert known.url.startswith("https://") or not known.branches


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab./-@{}lock~^: \\[*?ü"), min_size=1, max_size=9))
def test_a_branch_is_what_git_takes_for_one(name: str) -> None:
    git = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, check=False).returncode == 0
    ours = not Specification({"url": URL, "branches": [name]}).problems
    assert not ours or git, "what is accepted can be a branch"
    assert ours or not git or name.startswith("@"), "what can be a branch is accepted"


@given(st.from_regex(RESOURCE_NAME, fullmatch=True), st.text(max_size=9), st.integers(1, 10**9))
def test_a_job_has_a_valid_name_whatever_the_resource_is_called(name: str, branch: str, generation: int) -> None:
    made = job_name(name, repository_id(URL, branch), generation)
    assert DNS_LABEL.fullmatch(made)
    assert made == job_name(name, repository_id(URL, branch), generation)


@given(st.from_regex(RESOURCE_NAME, fullmatch=True), st.integers(1, 999), st.integers(1, 999))
def test_each_branch_and_generation_has_a_job_of_its_own(name: str, one: int, other: int) -> None:
    names = {job_name(name, repository_id(URL, branch), number) for branch in ("main", "dev") for number in (one, other)}
    assert len(names) == 2 * len({one, other})


def test_a_job_is_the_template_bound_to_one_build() -> None:
    template, repository = deepcopy(TEMPLATE), repository_id(URL, "main")
    made = job(template, resource(), repository, 7, 2)
    assert template == TEMPLATE, "the template stays as it is"
    assert made["metadata"]["name"] == f"shop-{repository[1:9]}-g7"
    assert made["metadata"]["namespace"] == "code"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-of-shop"
    labels = {"nearcode.dev/repository": repository, "nearcode.dev/generation": "7"}
    assert made["metadata"]["labels"] == {"app.kubernetes.io/component": "work", **labels}
    assert made["spec"]["template"]["metadata"]["labels"] == labels
    assert made["spec"]["template"]["spec"]["containers"][0]["args"] == ["work", repository, "--generation", "7"]
    assert (made["spec"]["parallelism"], made["spec"]["backoffLimit"]) == (2, 6)
    assert "completions" not in made["spec"]


def test_a_job_is_known_again() -> None:
    made = job(TEMPLATE, resource(), "r0123456789", 7, 2)
    assert read_job(made) == Job(Key("code", "shop-01234567-g7"), "r0123456789", 7, 2)
    made["status"] = {
        "active": 2,
        "conditions": [{"type": "Complete", "status": "False"}, {"type": "Failed", "status": "True"}],
    }
    known = read_job(made)
    assert known and known.failed and not known.succeeded and known.active == 2
    assert read_job({"metadata": {"name": "somebody-elses"}, "spec": {}}) is None


def test_credentials_are_told_as_the_engine_reads_them() -> None:
    def secret(**values: str) -> dict[str, str]:
        return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}

    told = credentials(
        {
            "r1": secret(token="t0ken\n"),
            "r2": secret(username="ada", password="pa:ss"),
            "r3": secret(username="ada", token="t0ken"),
            "r4": secret(token="with:colon"),
        }
    )
    assert {repository: base64.b64decode(value).decode() for repository, value in told.items()} == {
        "r1": "t0ken",
        "r2": "ada:pa:ss",
        "r3": "ada:t0ken",
        "r4": "x-access-token:with:colon",
    }


def test_the_schemas_number_is_read_from_the_definition() -> None:
    assert schema_of({"metadata": {"annotations": {"nearcode.dev/schema": "12"}}}) == 12
    assert schema_of({"metadata": {"annotations": {"nearcode.dev/schema": "new"}}}) == 0
    assert schema_of({"metadata": {}}) == 0
