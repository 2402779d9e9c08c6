"""The custom resource at a real API server: defaults, refusals that say what to write, columns, unknown fields."""

from typing import Any

import pytest
from nearcode.domain.repository import Progress, RepositoryState
from nearcode_operator.resources import parse
from nearcode_operator.specification import Specification
from nearcode_operator.status import observed

from tests.k8s.kube import REPOSITORIES, ApiError, Kube, Object
from tests.kubernetes.cluster import ApiServer
from tests.operator.bodies import COMMIT, engine
from tests.operator.test_status import NOW, seen

URL = "https://git.example.com/team/shop"
ACCEPTED: list[dict[str, Any]] = [
    {"url": f"{URL}.git"},
    {"url": "https://git.example.com:8443/~ada/a@b"},
    {"url": URL, "branches": ["main", "feature/x-1.2", "über", "@home"]},
    {"url": URL, "selection": {"include": ["src/**"], "exclude": ["*.min.js"], "largestFile": "512Ki"}},
    {"url": URL, "selection": {"largestFile": 1000000}},
    {"url": URL, "schedule": "0  3 * * MON-FRI"},
    {"url": URL, "indexSpaces": ["completion"]},
    {"url": URL, "credentials": {"secretRef": {"name": "git.token"}}},
    {"url": URL, "scaling": {"minWorkers": 2}, "priority": -100, "suspend": True},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"url": "http://git.example.com/a"}, 'spec.url: Invalid value: "http://git.example.com/a": write https://HOST/PATH'),
    ({"url": "git@git.example.com:a/b"}, "write https://HOST/PATH"),
    ({"url": f"{URL}?ref=main"}, "without query and fragment"),
    ({"url": "https://ada:s3cret@git.example.com/a"}, "take user name and password out of the URL"),
    ({"url": "http://s3cret@git.example.com/a"}, "name it in spec.credentials.secretRef"),
    ({"branches": ["main", "main"]}, 'spec.branches[1]: Duplicate value: "main"'),
    ({"branches": []}, "should have at least 1 items"),
    ({"branches": [f"b{number}" for number in range(17)]}, "must have at most 16 items"),
    *(({"branches": [name]}, "git allows no such branch") for name in ("a..b", "-x", "x.lock", "a b", "a[b", "a/", "@{u}")),
    ({"selection": {"largestFile": "1GB"}}, "write bytes, or a number with Ki or Mi, for example 512Ki"),
    ({"selection": {"largestFile": 0}}, "write bytes, or a number with Ki or Mi"),
    ({"schedule": "every five minutes"}, "write five fields: minute, hour"),
    ({"indexSpaces": ["chat"]}, "write [completion] or [completion, chat]"),
    ({"indexSpaces": ["completion", "images"]}, 'supported values: "completion", "chat"'),
    ({"credentials": {"secretRef": {"name": "My_Secret"}}}, "write the name of a Secret"),
    ({"scaling": {"minWorkers": 3, "maxWorkers": 2}}, "spec.scaling.minWorkers: Invalid value: minWorkers must not be above"),
    ({"scaling": {"minWorkers": 5}}, "(4 unless written): lower it, or raise maxWorkers"),
    ({"scaling": {"maxWorkers": 1000}}, "should be less than or equal to 256"),
    ({"priority": 101}, "should be less than or equal to 100"),
    ({"priority": "high"}, 'must be of type integer: "string"'),
    ({"suspend": "yes"}, 'must be of type boolean: "string"'),
]


def body(spec: dict[str, Any], name: str = "shop") -> Object:
    return {
        "apiVersion": "nearcode.dev/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": name},
        "spec": {"url": URL, **spec},
    }


async def test_what_is_accepted_the_operator_can_read(kube: Kube) -> None:
    for number, spec in enumerate(ACCEPTED):
        read = parse(await kube.create(REPOSITORIES, body(spec, f"shop-{number}")))
        assert read.key.namespace == kube.namespace and read.uid and read.created


async def test_what_is_refused_is_told_with_the_cure(kube: Kube) -> None:
    for spec, words in REFUSED:
        message = await refusal(kube, spec)
        assert words in message and "s3cret" not in message, spec


def test_what_an_older_definition_lets_through_the_operator_refuses() -> None:
    for spec, _ in REFUSED:
        if "schedule" not in spec:  # schedules are read elsewhere
            assert Specification({"url": URL, **spec}).problems, spec


async def refusal(kube: Kube, spec: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as refused:
        await kube.create(REPOSITORIES, body(spec))
    return refused.value.message


async def test_a_url_alone_gets_its_defaults(kube: Kube) -> None:
    made = await kube.create(REPOSITORIES, body({}))
    assert made["spec"] == {
        "url": URL,
        "branches": ["main"],
        "schedule": "*/5 * * * *",
        "indexSpaces": ["completion", "chat"],
        "scaling": {"minWorkers": 1, "maxWorkers": 4},
        "priority": 0,
        "suspend": False,
    }


async def test_a_url_stays_and_the_rest_may_change(kube: Kube) -> None:
    await kube.create(REPOSITORIES, body({}))
    changed = await kube.patch(f"{REPOSITORIES}/shop", {"spec": {"branches": ["dev"], "priority": 5}})
    assert changed["metadata"]["generation"] == 2
    with pytest.raises(ApiError) as refused:
        await kube.patch(f"{REPOSITORIES}/shop", {"spec": {"url": "https://ada:s3cret@git.example.com/other"}})
    assert "a URL cannot be changed: delete this resource and create one" in refused.value.message
    assert "s3cret" not in refused.value.message


async def test_an_unknown_field_is_refused_by_clients_that_ask_and_dropped_for_others(kube: Kube) -> None:
    assert 'unknown field "spec.colour"' in await refusal(kube, {"colour": "red"})
    made = await kube.call("POST", f"{REPOSITORIES}?fieldValidation=Warn", body({"colour": "red"}))
    assert "colour" not in made["spec"]


async def test_a_status_is_kept_as_the_operator_writes_it_and_changes_no_spec(kube: Kube, api_server: ApiServer) -> None:
    created = await kube.create(REPOSITORIES, body({}))
    building = engine(
        state=RepositoryState.INDEXING, revision=COMMIT, files=100, progress=Progress(3, 12), behind_since=NOW.timestamp()
    )
    status = observed(parse(created), seen(building, last_sync=NOW, next_sync=NOW), NOW)
    written = await kube.patch(f"{REPOSITORIES}/shop/status", {"status": status})
    assert written["status"] == status
    assert written["metadata"]["generation"] == 1
    ignored = await kube.patch(f"{REPOSITORIES}/shop", {"status": {"commit": "other"}})
    assert ignored["status"] == status

    header, row = (line.split() for line in api_server.kubectl("get", "ncr", "--namespace", kube.namespace).splitlines())
    assert header == ["NAME", "READY", "COVERAGE", "COMMIT", "BEHIND", "AGE"]
    assert row[:4] == ["shop", "False", "91%", COMMIT[:12]]
    assert row[4][0].isdigit(), "for how long it has been behind"
    wide = api_server.kubectl("get", "nearcode", "--output", "wide", "--namespace", kube.namespace).splitlines()
    assert wide[0].split()[-2:] == ["REASON", "URL"]
    assert wide[1].split()[-2:] == ["Indexing", URL]


async def test_every_field_is_explained(kube: Kube, api_server: ApiServer) -> None:
    told = api_server.kubectl("explain", "repositories.spec.selection.largestFile")
    assert "512Ki" in told
