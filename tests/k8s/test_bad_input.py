"""What people write wrongly is refused, or told in a condition with the cure; a healthy Repository beside it stays Ready."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.installation import CRD, Installation, install_crd, installation
from tests.k8s.kube import REPOSITORIES, SECRETS, ApiError, Kube
from tests.k8s.sources import code
from tests.servers import eventually

SETTINGS = {"sweep": {"busy_seconds": 0.3, "idle_seconds": 1.0, "retry_seconds": 1.0}, "credentials_secret": "credentials"}
SCHEMA = "nearcode.dev/schema"
WRONG: list[dict[str, Any]] = [
    {"priority": "high"},
    {"branches": "main"},
    {"branches": []},
    {"scaling": {"maxWorkers": "many"}},
    {"scaling": {"minWorkers": 4, "maxWorkers": 2}},
    {"selection": {"exclud": ["*.md"]}},
    {"shedule": "* * * * *"},
    {"url": "ftp://host/path"},
    {"url": 7},
]


@pytest.fixture
async def here(kube: Kube, tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation in which `healthy` is Ready, before and after the test."""
    async with installation(kube, tmp_path, SETTINGS, {}) as made:
        await kube.create(
            SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}}
        )  # as the chart does
        made.git.push("healthy", code(0, 3))
        await made.connect("healthy")
        made.operator.start()
        await made.until_ready(120)
        before = await made.condition("healthy")
        yield made
        assert await made.ready({"healthy": "healthy"}) == []
        assert (await made.condition("healthy"))["lastTransitionTime"] == before["lastTransitionTime"]
        assert made.operator.running


async def told(here: Installation, name: str, reason: str, kind: str = "Ready") -> str:
    """Waits until a condition is false for this reason, and returns its message."""
    found: dict[str, str] = {}

    async def is_told() -> bool:
        found.clear()
        found.update(await here.condition(name, kind))
        return found.get("reason") == reason and found["status"] == "False"

    try:
        await eventually(is_told, 60, reason)
    except AssertionError as error:
        raise AssertionError(f"{name} does not say {reason}: {found}\n{here.operator.tail()}") from error
    return found["message"]


async def test_a_schedule_that_never_comes_is_told_and_mended(here: Installation) -> None:
    here.git.push("often", code(10, 2))
    await here.connect("often", schedule="0 0 30 2 *")
    message = await told(here, "often", "ImpossibleSchedule")
    assert "schedule" in message and "*/5 * * * *" in message
    await here.change("often", schedule="*/10 * * * *")
    await here.until_ready(60)


async def test_a_url_with_a_password_is_refused_without_repeating_it(here: Installation) -> None:
    for url in ("https://someone:hush@127.0.0.1/team/shop", "https://hush@127.0.0.1/team/shop"):
        message = await refused(here, {"url": url})
        assert "secretRef" in message and "hush" not in message


async def test_a_missing_secret_is_told_until_it_is_there(here: Installation) -> None:
    here.git.push("private", code(10, 2))
    await here.connect("private", credentials={"secretRef": {"name": "no-such-secret"}})
    assert "no-such-secret" in await told(here, "private", "SecretMissing")
    values = {"username": "someone", "password": "secret"}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    await here.kube.create(
        SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "no-such-secret"}, "data": data}
    )
    await here.until_ready(90)


async def test_of_two_repositories_for_one_url_the_older_one_has_it(here: Installation) -> None:
    await here.connect("second", "healthy", url=f"{here.git.url('healthy')}.git")
    assert "healthy" in await told(here, "second", "DuplicateURL")
    await here.delete("second")
    await eventually(lambda: gone(here, "second"), 60, "the second one is not deleted")
    assert here.id("healthy") in await here.listed()


async def test_who_waited_for_a_url_gets_it_when_the_owner_goes(here: Installation) -> None:
    here.git.push("shop", code(10, 2))
    await here.connect("first", "shop")
    await here.until_ready(60, {"first": "shop"})
    await here.connect("second", "shop")
    await told(here, "second", "DuplicateURL")
    await here.delete("first")
    await eventually(lambda: gone(here, "first"), 60, "the first one is not deleted")
    await here.until_ready(60, {"second": "shop"})


async def test_a_wrong_type_or_an_unknown_field_is_refused_by_name(here: Installation) -> None:
    for spec in WRONG:
        message = await refused(here, {"url": here.git.url("wrong"), **spec})
        assert next(iter(spec)) in message


async def refused(here: Installation, spec: dict[str, Any]) -> str:
    """What the API server says about a spec that it does not take."""
    body = {"apiVersion": "nearcode.dev/v1alpha1", "kind": "Repository", "metadata": {"name": "wrong"}, "spec": spec}
    with pytest.raises(ApiError) as refusal:
        await here.kube.create(REPOSITORIES, body)
    assert refusal.value.status in {400, 422}
    return refusal.value.message


async def test_a_host_that_cannot_be_reached_is_told(here: Installation) -> None:
    await here.connect("nowhere", url="https://127.0.0.1:9/team/shop")
    assert "127.0.0.1:9" in await told(here, "nowhere", "FetchFailed")


async def test_a_branch_that_is_not_there_is_told(here: Installation) -> None:
    here.git.push("shop", code(10, 2))
    await here.connect("shop", branches=["main", "no-such-branch"])
    assert "no-such-branch" in await told(here, "shop", "FetchFailed")
    await eventually(lambda: searchable(here, "shop"), 30, "the branch that is there is not indexed")


async def test_an_operator_that_is_newer_than_the_resource_definition_says_how_to_upgrade(here: Installation) -> None:
    definition = yaml.safe_load(CRD.read_text())
    old = {**definition, "metadata": {**definition["metadata"], "annotations": {SCHEMA: "0"}}}
    await asyncio.to_thread(here.operator.stop)
    await install_crd(here.kube, old)
    try:
        ended = await asyncio.to_thread(here.operator.output, 60)
    finally:
        await install_crd(here.kube, definition)
        here.operator.start()
    assert ended.returncode not in {0, -9, -15}
    assert "helm upgrade" in ended.stderr or "kubectl apply --server-side" in ended.stderr


async def gone(here: Installation, name: str) -> bool:
    return await here.kube.find(f"{REPOSITORIES}/{name}") is None


async def searchable(here: Installation, source: str) -> bool:
    return (await here.listed())[here.id(source)].revision == here.git.head(source)
