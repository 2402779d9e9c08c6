"""A backlog scales a repository's Job up and down, within its own limits and the budget of the whole cluster.

Kubernetes, the operator, the engine and the work are real; each Pod of a Job runs its own command line as a local process.
The standing Deployments' pods are the fake node's: small updates are done by the engine's own process.
"""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.trials import trials
from tests.engines import SERVICES
from tests.k8s.history import History, history
from tests.k8s.installation import Installation, installation
from tests.k8s.kube import DEPLOYMENTS, REPOSITORIES, Kube, Object
from tests.k8s.operator_process import job_template
from tests.k8s.pods import Kubelet, kubelet
from tests.k8s.sources import code
from tests.servers import eventually

BUDGET = 5
FILES = 600
"""Of a repository; each is a message to be cut and one to be embedded."""
SECONDS = 600.0
MOVING_SECONDS = 2.0
"""Kubernetes may start a pod of one Job before it has ended that of another, when both were changed in one moment."""
LIMITS = {"wide": (1, 4, 0), "narrow": (1, 2, 0), "late": (1, 3, 0), "urgent": (2, 4, 50)}
"""Of each repository: least and most pods, and priority. `urgent` comes when the others are at work."""
SETTINGS = {
    "jobs": {"budget": BUDGET, "messages_per_worker": 20, "ttl_seconds": 3600},
    "sweep": {"busy_seconds": 0.5, "idle_seconds": 2.0},
    "workers": {
        "chunking": {"deployment": "chunking", "stages": ["synced"], "minimum": 1, "maximum": 3, "per_replica": 10},
    },
}
EVERYTHING_IS_BULK = {
    "NEARCODE_EVENTS__BULK": "false",
    "NEARCODE_INGESTION__BULK_PARTS": "0",
    "NEARCODE_INGESTION__PART_FILES": "1",
}


async def test_a_backlog_scales_a_job_up_and_down_within_its_limits_and_the_budget(kube: Kube, tmp_path: Path) -> None:
    async with installation(kube, tmp_path, SETTINGS, EVERYTHING_IS_BULK, job_template()) as here:
        files = trials(FILES, 120)
        for number, name in enumerate(LIMITS):
            here.git.push(name, code(number * files, files))
        async with history(kube) as seen, kubelet(kube, here.workers, tmp_path / "workers.log") as node:
            here.operator.start()
            waiting = [asyncio.create_task(waited(here, name)) for name in ("wide", "narrow", "late")]
            await connect(here, "wide", "narrow", "late")
            await eventually(lambda: at_work(seen, "wide"), 120, "no Job began: " + here.operator.tail())
            await connect(here, "urgent")
            await here.until_ready(SECONDS)
            await eventually(lambda: all_idle(seen), 60, "a Job still wants pods although everything is indexed")
            said = await asyncio.gather(*waiting)
        failed = node.failed
    report(seen, files, node)
    check_limits(seen)
    check_order(seen)
    assert any(said), "some had to wait for budget, and no condition said so"
    assert not failed, f"indexing Jobs' processes failed: {failed}"


async def connect(here: Installation, *names: str) -> None:
    for name in names:
        least, most, priority = LIMITS[name]
        scaling = {"minWorkers": least, "maxWorkers": most}
        await here.connect(name, scaling=scaling, priority=priority, indexSpaces=["completion"])


async def waited(here: Installation, name: str) -> bool:
    """Whether a Repository said that it waits for budget before it was Ready."""
    async for _, resource in here.kube.watch(f"{REPOSITORIES}?fieldSelector=metadata.name={name}"):
        reasons = {one["reason"] for one in resource.get("status", {}).get("conditions", [])}
        if "WaitingForBudget" in reasons:
            return True
        if "UpToDate" in reasons:
            return False
    return False


async def at_work(seen: History, name: str) -> bool:
    return bool(seen.moments and seen.moments[-1].active.get(name))


async def all_idle(seen: History) -> bool:
    return not any(seen.moments[-1].wanted.values()) and not any(seen.moments[-1].active.values())


def check_limits(seen: History) -> None:
    """At every moment that the API server told of."""
    for moment in seen.moments:
        assert sum(moment.wanted.values()) <= BUDGET, f"more than the budget of {BUDGET}: {moment}"
        for name, wanted in moment.wanted.items():
            least, most, _ = LIMITS[name]
            assert wanted == 0 or least <= wanted <= most, f"{name} is beyond its limits: {moment}"
    assert max(sum(moment.wanted.values()) for moment in seen.moments) == BUDGET, "the budget was never used up"
    above = longest_above(seen)
    assert above <= MOVING_SECONDS, f"for {above:.1f} s more than {BUDGET} pods were at work"
    assert seen.most("urgent") == 4, "the urgent one did not get what its backlog was worth"
    assert any(0 < before < after for before, after in steps(seen)), "no Job at work was scaled up"
    assert any(0 < after < before for before, after in steps(seen)), "no Job at work was scaled down"


def longest_above(seen: History) -> float:
    """For how many seconds on end more pods were at work than the budget has."""
    longest, since = 0.0, None
    for moment in seen.moments:
        if sum(moment.active.values()) <= BUDGET:
            since = None
        else:
            since = since or moment.at
            longest = max(longest, moment.at - since)
    return longest


def check_order(seen: History) -> None:
    """The urgent one takes pods from those that work, as soon as it has a Job."""
    jobs = [moment.wanted for moment in seen.moments]
    first = next(number for number, wanted in enumerate(jobs) if wanted.get("urgent"))
    assert jobs[first]["urgent"] >= 2


def steps(seen: History) -> Iterator[tuple[int, int]]:
    """What each Job was to have before and after each change."""
    for name in LIMITS:
        for before, after in itertools.pairwise(moment.wanted for moment in seen.moments):
            yield before.get(name, 0), after.get(name, 0)


def report(seen: History, files: int, node: Kubelet) -> None:
    start = seen.moments[0].at
    print(
        f"\n4 repositories of {files} files, budget {BUDGET}: {len(seen.jobs)} Jobs, {len(node.containers)} pods as processes"
    )
    shown: dict[str, int] | None = None
    for moment in seen.moments:
        if dict(moment.wanted) != shown:
            shown = dict(moment.wanted)
            active = sum(moment.active.values())
            print(f"{moment.at - start:7.1f} s  sum {sum(shown.values())}  {shown}  at work {active}")
    most = max(sum(moment.active.values()) for moment in seen.moments)
    print(f"most pods at work at once: {most}; above the budget for {longest_above(seen):.1f} s at most")


async def test_standing_deployments_follow_the_small_backlog(kube: Kube, tmp_path: Path) -> None:
    """Nobody cuts here, so that what waits stays; the Deployment's pods are the fake node's."""
    small = {"NEARCODE_INGESTION__BULK_PARTS": "1000", "NEARCODE_INGESTION__PART_FILES": "1"}
    services = [name for name in SERVICES if name != "chunking"]
    async with installation(kube, tmp_path, SETTINGS, small, services=services) as here:
        await kube.create(DEPLOYMENTS, deployment("chunking"))
        here.git.push("shop", code(0, 15))
        here.operator.start()
        await here.connect("shop")
        await eventually(lambda: scaled(kube, 2), 60, "15 messages are work for 2: " + here.operator.tail())
        here.git.push("shop", code(15, 50))
        await here.change("shop", selection={"exclude": ["nothing"]})
        await eventually(lambda: scaled(kube, 3), 60, "65 messages are work for 3, the most: " + here.operator.tail())


def deployment(name: str) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": "nearcode/engine:test"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


async def scaled(kube: Kube, replicas: int) -> bool:
    found = await kube.get(f"{DEPLOYMENTS}/chunking")
    return bool(found["spec"]["replicas"] == replicas)
