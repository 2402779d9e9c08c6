"""Writes down every Job and every Pod of a namespace as the API server tells it, and says what was wrong with it."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.k8s.kube import JOBS, PODS, Kube, Object

REPOSITORY, GENERATION, OWNER = "nearcode.dev/repository", "nearcode.dev/generation", "nearcode.dev/resource"
ENDS = {"SuccessCriteriaMet": "Complete", "Complete": "Complete", "FailureTarget": "Failed", "Failed": "Failed"}
"""Conditions of a Job that is over, or about to be."""


@dataclass(frozen=True)
class Made:
    """A Job that was there: what it was for, and how it ended if it did."""

    uid: str
    name: str
    repository: str
    generation: str
    ended: str = ""


@dataclass(frozen=True)
class Moment:
    """How many pods each Job may have (`wanted`), and how many were at work (`active`), by the resource's name."""

    at: float
    wanted: Mapping[str, int]
    active: Mapping[str, int]


@dataclass
class History:
    """`jobs` by uid, in the order in which they came; a moment for every change."""

    jobs: dict[str, Made] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    _wanted: dict[str, tuple[str, int]] = field(default_factory=dict)
    _pods: dict[str, str] = field(default_factory=dict)

    async def jobs_of(self, kube: Kube) -> None:
        async for kind, job in kube.watch(f"{JOBS}?labelSelector={REPOSITORY}"):
            self.saw_job(kind, job)

    async def pods_of(self, kube: Kube) -> None:
        async for kind, pod in kube.watch(f"{PODS}?labelSelector={REPOSITORY}"):
            self.saw_pod(kind, pod)

    def saw_job(self, kind: str, job: Object) -> None:
        meta = job["metadata"]
        conditions = job.get("status", {}).get("conditions", [])
        ended = next((ENDS[one["type"]] for one in conditions if one["status"] == "True" and one["type"] in ENDS), "")
        labels = meta["labels"]
        known = self.jobs.get(meta["uid"])
        ended = ended or (known.ended if known else "")
        self.jobs[meta["uid"]] = Made(meta["uid"], meta["name"], labels[REPOSITORY], labels[GENERATION], ended)
        if kind == "DELETED" or ended or "deletionTimestamp" in meta:
            self._wanted.pop(meta["uid"], None)
        else:
            self._wanted[meta["uid"]] = self._resource(job), job["spec"]["parallelism"]
        self._note()

    def saw_pod(self, kind: str, pod: Object) -> None:
        meta, phase = pod["metadata"], pod.get("status", {}).get("phase")
        if kind == "DELETED" or "deletionTimestamp" in meta or phase in {"Succeeded", "Failed"}:
            self._pods.pop(meta["uid"], None)
        else:
            self._pods[meta["uid"]] = meta["labels"]["batch.kubernetes.io/job-name"]
        self._note()

    def resource_of(self, job_name: str) -> str:
        """The Repository whose Job this is, by name."""
        return job_name.rsplit("-", 2)[0]

    def _resource(self, job: Object) -> str:
        return str(job["metadata"].get("annotations", {}).get(OWNER, job["metadata"]["name"])).rpartition("/")[2]

    def _note(self) -> None:
        active: dict[str, int] = defaultdict(int)
        for job in self._pods.values():
            active[self.resource_of(job)] += 1
        wanted: dict[str, int] = defaultdict(int)
        for resource, parallelism in self._wanted.values():
            wanted[resource] += parallelism
        self.moments.append(Moment(time.monotonic(), dict(wanted), dict(active)))

    def most(self, resource: str) -> int:
        """The most pods that its Job ever was to have."""
        return max((moment.wanted.get(resource, 0) for moment in self.moments), default=0)


def doubled(jobs: Iterable[Made], lives: Mapping[str, int] | None = None) -> dict[tuple[str, str], list[Made]]:
    """Repositories and generations for which there were more Jobs that did not fail than `lives`, by the repository's id: how
    often it was connected, once unless said. Its generations begin anew each time."""
    builds: dict[tuple[str, str], list[Made]] = defaultdict(list)
    for job in jobs:
        builds[job.repository, job.generation].append(job)
    return {
        build: made
        for build, made in builds.items()
        if sum(job.ended != "Failed" for job in made) > (lives or {}).get(build[0], 1)
    }


@asynccontextmanager
async def history(kube: Kube) -> AsyncIterator[History]:
    """What happens to Jobs and Pods while the block runs."""
    written = History()
    watching = [asyncio.create_task(written.jobs_of(kube)), asyncio.create_task(written.pods_of(kube))]
    try:
        yield written
        for task in watching:
            if task.done():
                task.result()
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
