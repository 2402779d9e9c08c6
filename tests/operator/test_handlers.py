"""Kopf's part, against an API in memory: what it writes into resources, and when it asks us."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kmock
import kopf
import pytest
import yaml
from nearcode.domain.errors import Conflict, InvalidRequest, NearcodeError, Unavailable
from nearcode_operator import handlers, resources
from nearcode_operator.inventory import Inventory
from nearcode_operator.model import Job, Key, Resource
from nearcode_operator.ports import Listing
from nearcode_operator.repositories import Seen, read
from nearcode_operator.resources import FINALIZER

from tests.operator.bodies import body
from tests.servers import eventually

REPOSITORIES, JOBS = "nearcode.dev/v1alpha1/repositories", "batch/v1/jobs"
SHOP = Key("code", "shop")


@dataclass
class Operator:
    """Kopf with our handlers, and what it told us."""

    api: kmock.KubernetesEmulator
    repositories: Inventory[Seen]
    jobs: Inventory[Job]
    woken: int = 0
    finalized: list[str] = field(default_factory=list)
    failing: NearcodeError | None = None

    def wake(self) -> None:
        self.woken += 1

    async def finalize(self, resource: Resource) -> None:
        if self.failing:
            raise self.failing
        self.finalized.append(resource.key.name)

    def patches(self) -> list[Any]:
        """What was written into Repositories."""
        return list(self.api["patch"])

    def stored(self) -> Any:
        return self.api.objects[REPOSITORIES, "code", "shop"]

    async def create(self, **metadata: Any) -> None:
        made = body()
        made["metadata"] |= {"resourceVersion": "101", **metadata}
        await self.api.post("/apis/nearcode.dev/v1alpha1/namespaces/code/repositories", json=made)

    async def delete(self) -> None:
        await self.api.delete("/apis/nearcode.dev/v1alpha1/namespaces/code/repositories/shop")

    async def guarded(self) -> None:
        """Until our finalizer is on the resource."""
        await until(lambda: FINALIZER in self.finalizers(), "no finalizer")

    def finalizers(self) -> list[str]:
        return self.stored().get("metadata", {}).get("finalizers") or []


async def until(condition: Callable[[], bool], what: str) -> None:
    async def holds() -> bool:
        return condition()

    await eventually(holds, 15, what)


async def nothing() -> Listing:
    return Listing([], "0")


@pytest.fixture
async def operator(kmock: kmock.KubernetesEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    verbs = {"list", "watch", "patch", "get", "create", "delete"}
    kmock.resources[REPOSITORIES] = kmock.ResourceInfo(kind="Repository", namespaced=True, verbs=verbs)
    kmock.resources[JOBS] = kmock.ResourceInfo(kind="Job", namespaced=True, verbs=verbs)
    kmock.resources["v1/events"] = kmock.ResourceInfo(kind="Event", namespaced=True, verbs=verbs)
    kmock.resources["v1/namespaces"] = kmock.ResourceInfo(kind="Namespace", namespaced=False, verbs=verbs)
    definitions = "apiextensions.k8s.io/v1/customresourcedefinitions"
    kmock.resources[definitions] = kmock.ResourceInfo(kind="CustomResourceDefinition", namespaced=False, verbs=verbs)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(str(kmock.url), tmp_path / "kubeconfig")))
    made = Operator(kmock, Inventory(nothing, read), Inventory(nothing, resources.read_job))
    async with watching(made):
        yield made


@asynccontextmanager
async def watching(operator: Operator) -> AsyncIterator[None]:
    """Runs Kopf in a thread of its own: when it ends, it ends everything in its loop."""
    stop = threading.Event()
    registry = handlers.registry(operator.repositories, operator.jobs, operator.wake, operator.finalize)
    options: dict[str, Any] = {"settings": handlers.settings(), "standalone": True, "namespaces": ["code"]}
    running = asyncio.create_task(asyncio.to_thread(kopf.run, registry=registry, stop_flag=stop, **options))
    try:
        await until(lambda: len(watches(operator)) == 2, "nothing is watched")
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


def watches(operator: Operator) -> list[Any]:
    return [one for one in operator.api["get"] if "watch" in dict(one.params)]


def kubeconfig(server: str, file: Path) -> Path:
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    parts = {
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "x"}}],
    }
    file.write_text(yaml.safe_dump({**parts, "contexts": [context], "current-context": "test"}))
    return file


async def test_a_new_repository_gets_our_finalizer_and_nothing_else(operator: Operator) -> None:
    await operator.create()
    await operator.guarded()
    assert operator.woken
    assert len(operator.patches()) == 1
    assert not operator.stored()["metadata"].get("annotations")


async def test_a_repository_that_was_let_go_is_not_taken_again_by_who_was_there(operator: Operator) -> None:
    await operator.create()
    await operator.guarded()
    let_go = {
        "finalizers": [],
        "annotations": {resources.RELEASED_ANNOTATION: "2999-01-01T00:00:00Z"},
        "resourceVersion": "999",
    }
    before = operator.woken
    path = "/apis/nearcode.dev/v1alpha1/namespaces/code/repositories/shop"
    await operator.api.patch(path, json={"metadata": let_go})
    await until(lambda: operator.woken > before, "nobody was woken")
    await operator.api.patch(path, json={"spec": {"priority": 5}, "metadata": {"resourceVersion": "1000"}})
    await until(lambda: operator.woken > before + 1, "nobody was woken")
    assert FINALIZER not in operator.finalizers()


async def test_a_repository_that_was_let_go_long_ago_is_ours_again(operator: Operator) -> None:
    await operator.create(annotations={resources.RELEASED_ANNOTATION: "2020-01-01T00:00:00Z"})
    await operator.guarded()


async def test_a_changed_repository_wakes_us_and_writes_nothing(operator: Operator) -> None:
    await operator.create()
    await operator.guarded()
    before = operator.woken
    changed = {"spec": {"priority": 5}, "metadata": {"resourceVersion": "999"}}
    await operator.api.patch("/apis/nearcode.dev/v1alpha1/namespaces/code/repositories/shop", json=changed)
    await until(lambda: operator.woken > before, "nobody was woken")
    seen = operator.repositories.get(SHOP)
    assert seen and seen.resource.priority == 5
    assert len(operator.patches()) == 2  # the finalizer, and this change


async def test_a_deleted_repository_goes_when_it_is_finalized(operator: Operator) -> None:
    await operator.create()
    await operator.guarded()
    await operator.delete()
    await until(lambda: operator.finalized == ["shop"], "it was not finalized")
    await until(lambda: FINALIZER not in operator.finalizers(), "it is held")


async def test_a_deletion_that_cannot_be_done_now_holds_the_repository(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "_AGAIN_SECONDS", 0.3)
    operator.failing = Unavailable("the engine does not answer", retry_after=0.1)
    await operator.create()
    await operator.guarded()
    await operator.delete()
    await until(lambda: len(operator.patches()) > 2, "it was not tried again")
    assert FINALIZER in operator.finalizers() and not operator.finalized
    operator.failing = None
    await until(lambda: operator.finalized == ["shop"], "it was not finalized")


async def test_a_job_that_changes_wakes_us(operator: Operator) -> None:
    labels = {resources.REPOSITORY_LABEL: "r1", resources.GENERATION_LABEL: "1"}
    metadata = {"name": "shop-1", "namespace": "code", "resourceVersion": "7", "labels": labels}
    job = {"metadata": metadata, "spec": {"parallelism": 2}}
    before = operator.woken
    await operator.api.post("/apis/batch/v1/namespaces/code/jobs", json=job)
    await until(lambda: operator.woken > before, "nobody was woken")
    known = operator.jobs.get(Key("code", "shop-1"))
    assert known and known.parallelism == 2


@pytest.mark.parametrize("error", [Unavailable("away"), Conflict("changed"), InvalidRequest("wrong")])
def test_no_failure_takes_the_finalizer_off_while_something_is_left(error: NearcodeError) -> None:
    assert isinstance(handlers.as_kopf(error), kopf.TemporaryError)
