"""What Jobs claim is one thing, what is indexed another: Ready comes from the engine's manifests alone.

The Jobs' Pods are the fake node's here: it completes them, or lets them fail, as annotated, and nothing is done in them.
"""

import asyncio
from pathlib import Path

from tests.engines import NEARCODE
from tests.k8s.history import History, history
from tests.k8s.installation import Installation, installation
from tests.k8s.kube import EVENTS, JOBS, Kube
from tests.k8s.operator_process import job_template
from tests.k8s.pods import COMPLETED, kubelet
from tests.k8s.sources import code
from tests.servers import eventually

SETTINGS = {
    "jobs": {"budget": 2, "retry_seconds": 2.0},
    "sweep": {"busy_seconds": 0.3, "idle_seconds": 1.0},
}
EVERYTHING_IS_BULK = {"NEARCODE_EVENTS__BULK": "false", "NEARCODE_INGESTION__BULK_PARTS": "0"}
FAILED = "pod-container-running-failed.stage.kwok.x-k8s.io"


async def test_a_job_that_only_claims_to_have_worked_makes_nothing_ready(kube: Kube, tmp_path: Path) -> None:
    async with installation(kube, tmp_path, SETTINGS, EVERYTHING_IS_BULK, job_template(COMPLETED)) as here:
        here.git.push("shop", code(0, 20))
        async with history(kube) as seen:
            here.operator.start()
            await here.connect("shop", indexSpaces=["completion"])
            await eventually(lambda: ended(seen, "Complete", 2), 90, "no Job was made anew: " + here.operator.tail())
            assert (await here.condition("shop"))["status"] == "False"
            assert not (await here.listed())[here.id("shop")].revision
        assert await by_hand(here) == 0
        await here.until_ready(60)


async def test_a_job_that_fails_is_told_and_made_anew(kube: Kube, tmp_path: Path) -> None:
    template = job_template({f"{FAILED}/delay": "1s", f"{FAILED}/jitter-delay": "1s"})
    template["spec"]["backoffLimit"] = 0
    template["spec"]["template"]["metadata"]["labels"][FAILED] = "true"
    async with installation(kube, tmp_path, SETTINGS, EVERYTHING_IS_BULK, template) as here:
        here.git.push("shop", code(0, 20))
        async with history(kube) as seen:
            here.operator.start()
            await here.connect("shop", indexSpaces=["completion"])
            await eventually(lambda: ended(seen, "Failed", 2), 90, "no Job was made anew: " + here.operator.tail())
        assert "JobFailed" in {event["reason"] for event in await kube.items(EVENTS)}
        assert await by_hand(here) == 0
        await here.until_ready(60)


async def test_a_deleted_repository_takes_its_job_and_process_along(kube: Kube, tmp_path: Path) -> None:
    """Each Pod runs its own command line as a local process here."""
    slow = {**EVERYTHING_IS_BULK, "NEARCODE_INGESTION__PART_FILES": "1"}
    async with (
        installation(kube, tmp_path, SETTINGS, slow, job_template()) as here,
        kubelet(kube, here.workers, tmp_path / "workers.log") as node,
    ):
        here.git.push("shop", code(0, 300))
        here.operator.start()
        await here.connect("shop", indexSpaces=["completion"])
        await eventually(lambda: runs(len(node.running) > 0), 90, "no Job began: " + here.operator.tail())
        await here.delete("shop")
        await eventually(lambda: nothing(here), 90, "something is left: " + here.operator.tail())
        await eventually(lambda: runs(all(one.code is not None for one in node.containers.values())), 60, "a process goes on")
        assert not node.failed
        assert not await here.points([here.id("shop")])


async def by_hand(here: Installation) -> int:
    """Does what a Job's Pod should have done."""
    id = here.id("shop")
    generation = (await here.listed())[id].generation
    program = [*NEARCODE, "work", id, "--generation", str(generation)]
    process = await asyncio.create_subprocess_exec(*program, env=here.workers, stdout=asyncio.subprocess.DEVNULL)
    return await process.wait()


async def ended(seen: History, how: str, count: int) -> bool:
    return sum(job.ended == how for job in seen.jobs.values()) >= count


async def runs(condition: bool) -> bool:
    return condition


async def nothing(here: Installation) -> bool:
    return not await here.resources() and not await here.kube.items(JOBS) and not await here.listed()
