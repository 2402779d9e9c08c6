"""Indexing Jobs: one for each repository and generation with bulk work, within the budget."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from nearcode.domain.errors import NearcodeError, Unavailable
from nearcode.telemetry.log import get_logger

from nearcode_operator import resources, scaling
from nearcode_operator.inventory import Inventory
from nearcode_operator.model import Engine, Job, Key, Resource
from nearcode_operator.ports import ClusterApi, Manifest
from nearcode_operator.settings import JobSettings

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """A repository of the engine that Jobs may be made for, and the resource that owns it."""

    repository: str
    resource: Resource


@dataclass(frozen=True, slots=True)
class Fleet:
    """The Jobs after a sweep. `by_repository`: the Job that matters; `wanted`: pods, if there were no budget."""

    by_repository: Mapping[str, Job] = field(default_factory=dict)
    wanted: int = 0
    allotted: int = 0
    running: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    """What Kubernetes said to what was to be done, by repository: of a quota, a policy, a missing right."""


class IndexingJobs:
    """Makes, scales and clears away Jobs. What a Job does is its own matter: Ready comes from manifests."""

    def __init__(
        self,
        cluster: ClusterApi,
        jobs: Inventory[Job],
        template: Manifest,
        settings: JobSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._jobs, self._template, self._settings, self._clock = cluster, jobs, template, settings, clock
        self._failed: dict[Key, float] = {}

    async def seen(self) -> Sequence[Job]:
        """The Jobs as they are. To be asked for before the engine is: a Job that has ended then leaves no backlog that is
        older than its end."""
        return list((await self._jobs.all()).values())

    async def converge(self, works: Collection[Work], engine: Engine, jobs: Sequence[Job]) -> Fleet:
        """Brings the Jobs in line with the backlog. Fewer pods first, more pods then: their sum never exceeds the budget."""
        current, refused, gone = self._current(works, engine, jobs), dict[str, str](), set[Key]()
        for job in jobs:
            if not job.deleting and self._is_over(job, engine):
                with _told(refused, job.repository):
                    await self._delete(job)
                    gone.add(job.key)
        ours = {job.key for job in current.values()}
        # Of a branch that is being disconnected, or a resource that nobody can read: their pods are pods.
        others = sum(job.parallelism for job in jobs if job.key not in ours | gone and not _ended(job))
        demands = [demand for work in works if (demand := self._demand(work, engine, current.get(work.repository)))]
        shares = scaling.allocate(demands, max(0, self._settings.budget - others))
        for repository, job in current.items():
            if not (_ended(job) or job.deleting) and shares.get(repository, 0) < job.parallelism:
                with _told(refused, repository):
                    current[repository] = await self._scale(job, shares.get(repository, 0))
        for work in works:
            if work.repository in shares and work.repository not in refused:
                with _told(refused, work.repository):
                    await self._raise(work, engine, current, shares[work.repository])
        return Fleet(
            current,
            sum(demand.wanted for demand in demands),
            sum(job.parallelism for job in current.values() if not _ended(job)),
            sum(job.active for job in jobs),
            refused,
        )

    async def delete_of(self, repositories: Collection[str]) -> None:
        """Deletes the Jobs of these repositories."""
        for job in await self.seen():
            if job.repository in repositories:
                await self._delete(job)

    def _current(self, works: Collection[Work], engine: Engine, jobs: Sequence[Job]) -> dict[str, Job]:
        """The Job of each repository's present generation."""
        named = {job.key: job for job in jobs}
        found: dict[str, Job] = {}
        for work in works:
            known = engine.repositories.get(work.repository)
            job = named.get(self._key(work, known.generation)) if known else None
            if job:
                found[work.repository] = job
        return found

    def _is_over(self, job: Job, engine: Engine) -> bool:
        """Whether a Job has to go: superseded, waiting for nothing, failed long enough ago, or ended with work left."""
        known = engine.repositories.get(job.repository)
        if known is None or job.generation < known.generation:
            return True
        left = engine.backlog.bulk.get(job.repository, 0)
        if job.failed:
            since = self._failed.setdefault(job.key, self._clock())
            return bool(left) and self._clock() - since >= self._settings.retry_seconds
        return bool(left) if job.succeeded else not left and not job.parallelism and not job.active

    def _demand(self, work: Work, engine: Engine, job: Job | None) -> scaling.Demand | None:
        """What a repository could use; None for one that needs no pods, or may not have any."""
        left = engine.backlog.bulk.get(work.repository, 0)
        if work.resource.suspended or (job and (_ended(job) or job.deleting)):
            return None
        now = job.parallelism if job else 0
        if not left and not now:
            return None
        resource, per_worker = work.resource, self._settings.messages_per_worker
        # Without a backlog, its last pods end by themselves: one that is taken away does not end well.
        return scaling.Demand(
            work.repository, max(left, 1), per_worker, resource.limits, resource.priority, now, resource.created
        )

    async def _raise(self, work: Work, engine: Engine, current: dict[str, Job], share: int) -> None:
        job = current.get(work.repository)
        if job and share > job.parallelism:
            current[work.repository] = await self._scale(job, share)
        elif job is None:
            generation = engine.repositories[work.repository].generation
            manifest = resources.job(self._template, work.resource, work.repository, generation, share)
            made = await self._cluster.create_job(manifest)
            if made is None:
                self._jobs.doubt()
            elif read := self._keep(made):
                current[work.repository] = read

    async def _scale(self, job: Job, parallelism: int) -> Job:
        changed = await self._cluster.scale_job(job.key, parallelism)
        if changed is None:
            self._jobs.forget(job.key)
            return job
        return self._keep(changed) or job

    async def _delete(self, job: Job) -> None:
        await self._cluster.delete_job(job.key)
        self._jobs.forget(job.key)
        self._failed.pop(job.key, None)

    def _keep(self, manifest: Manifest) -> Job | None:
        self._jobs.put(manifest)
        return resources.read_job(manifest)

    def _key(self, work: Work, generation: int) -> Key:
        name = resources.job_name(work.resource.key.name, work.repository, generation)
        return Key(work.resource.key.namespace, name)


@contextmanager
def _told(refused: dict[str, str], repository: str) -> Iterator[None]:
    """What is refused for one repository is told, and the others go on. Raises Unavailable."""
    try:
        yield
    except Unavailable:
        raise
    except NearcodeError as error:
        log.warning("a Job is refused", repository=repository, error=error.message)
        refused[repository] = error.message


def _ended(job: Job) -> bool:
    return job.succeeded or job.failed
