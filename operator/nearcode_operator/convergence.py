"""What makes the cluster and the engine what Repository resources say: look at everything, do what differs, tell it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from nearcode.domain.errors import NearcodeError
from nearcode.domain.errors import Reason as EngineReason
from nearcode.domain.repository import RepositoryState
from nearcode.telemetry.log import get_logger

from nearcode_operator import duplicates, schedule, status
from nearcode_operator.conditions import Fault, Reason
from nearcode_operator.credentials import Credentials
from nearcode_operator.errands import Errands, Result
from nearcode_operator.indexing import Fleet, IndexingJobs, Work
from nearcode_operator.inventory import Inventory
from nearcode_operator.model import Engine, Key, Resource
from nearcode_operator.observation import Observation
from nearcode_operator.ports import EngineApi
from nearcode_operator.repositories import Seen, last_sync
from nearcode_operator.telling import Telling
from nearcode_operator.workers import StandingWorkers

log = get_logger(__name__)

_LEAVE_AT_ONCE = 4
"""Resources that are finalized at once: a namespace with hundreds may be deleted, and the engine refuses what is too much."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sweep works on beside the resources. `jobs`: None where there are none."""

    credentials: Credentials
    workers: StandingWorkers
    jobs: IndexingJobs | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep found. `unsettled`: something is under way; `due`: when the next schedule comes; `reasons`: of Ready, with
    how many resources have them."""

    unsettled: bool = False
    due: datetime | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)
    engine_away: bool = False


@dataclass(slots=True)
class _Found:
    """One resource in one sweep."""

    seen: Seen
    resource: Resource
    taken: Mapping[str, Key]
    dropped: Mapping[str, str]
    faults: list[Fault]
    began: datetime
    """When the sweep did, and so before what it knows of the engine."""
    next_sync: datetime | None = None

    @property
    def own(self) -> dict[str, str]:
        """Repository ids by branch that it names and owns."""
        return {branch: one for branch, one in duplicates.repositories(self.resource).items() if one not in self.taken}

    @property
    def followed(self) -> bool:
        """Whether anything is done for it: not before our finalizer is on it, nor once it is being deleted."""
        return self.seen.guarded and not self.resource.deleting


class Convergence:
    """`sweep` may be run at any time, and again; `finalize` undoes what sweeps did for a resource. Both need nothing that was
    remembered: a process that ends at any call is continued by the next one."""

    def __init__(
        self,
        engine: EngineApi,
        repositories: Inventory[Seen],
        parts: Parts,
        telling: Telling,
        errands: Errands,
        now: Callable[[], datetime],
    ) -> None:
        self._engine, self._repositories, self._now = engine, repositories, now
        self._credentials, self._workers, self._jobs = parts.credentials, parts.workers, parts.jobs
        self._telling, self._errands = telling, errands
        self._leaving = asyncio.Semaphore(_LEAVE_AT_ONCE)

    async def sweep(self) -> Outcome:
        """Looks at everything once. Raises Unavailable and PermissionDenied when Kubernetes does not tell or take something
        that concerns all; what concerns one resource is in its conditions."""
        began = self._now()
        seen = await self._repositories.all()
        jobs = await self._jobs.seen() if self._jobs else ()
        engine, why = await self._observe()
        found = self._find(list(seen.values()), began)
        valid = [each for each in found if each.followed and not each.seen.problems]
        works = [Work(repository, each.resource) for each in valid for repository in each.own.values()]
        for key, fault in (await self._credentials.converge(works)).items():
            next(each for each in found if each.resource.key == key).faults.append(fault)
        fleet = Fleet()
        if engine:
            await self._each(found, lambda each: self._follow(each, engine))
            if self._jobs:
                fleet = await self._jobs.converge(works, engine, jobs)
                self._note(found, fleet)
            await self._workers.converge(engine.backlog)
        await self._each(found, lambda each: self._tell(each, engine, why, fleet))
        return self._outcome(found, engine, fleet)

    async def finalize(self, resource: Resource) -> None:
        """Undoes everything that was done for a resource that is being deleted. Raises Unavailable when it has to be tried
        again."""
        everything = [seen.resource for seen in (await self._repositories.all()).values()]
        others = [one for one in everything if one.uid != resource.uid]
        leaving = duplicates.dropped(replace(resource, deleting=True), duplicates.owners([*others, resource]))
        await self._errands.settled(leaving)
        async with self._leaving:
            for repository in leaving:
                await self._disconnect(resource, repository)
        if self._jobs:
            await self._jobs.delete_of(leaving)
        self._errands.forget(leaving)
        log.info("disconnected", resource=str(resource.key), repositories=len(leaving))

    async def _disconnect(self, resource: Resource, repository: str) -> None:
        try:
            await self._engine.disconnect(repository)
        except NearcodeError as error:
            log.warning("not disconnected", resource=str(resource.key), error=error.message)
            message = "It is not deleted before the engine has deleted its index, which it does not do now."
            await self._telling.warn(resource, Reason.ENGINE_UNAVAILABLE, f"{message} The operator goes on trying.")
            raise

    async def _observe(self) -> tuple[Engine | None, str]:
        try:
            return await self._engine.observe(), ""
        except NearcodeError as error:
            log.warning("the engine is away", error=error.message)
            return None, error.message

    def _find(self, seen: Collection[Seen], began: datetime) -> list[_Found]:
        owned = duplicates.owners(one.resource for one in seen)
        return [
            _Found(
                one,
                one.resource,
                duplicates.taken(one.resource, owned),
                {} if one.problems or one.resource.deleting else duplicates.dropped(one.resource, owned),
                [Fault(Reason.INVALID_SPEC, problem) for problem in one.problems],
                began,
            )
            for one in seen
        ]

    @staticmethod
    def _note(found: Collection[_Found], fleet: Fleet) -> None:
        """What Kubernetes refused is told where it matters."""
        for each in found if fleet.refused else ():
            refused = [fleet.refused[one] for one in each.own.values() if one in fleet.refused]
            each.faults.extend(Fault(Reason.JOB_FAILED, message) for message in refused)

    async def _each(self, found: Collection[_Found], do: Callable[[_Found], Awaitable[None]]) -> None:
        """For all at once, as far as they are followed. What goes wrong with one touches no other."""

        troubles: dict[str, str] = {}

        async def one(each: _Found) -> None:
            try:
                await do(each)
            except NearcodeError as error:
                troubles[str(each.resource.key)] = error.message
            except Exception:  # a bug that shows in one resource must not stop the others
                log.exception("a sweep is broken", resource=str(each.resource.key))

        await asyncio.gather(*(one(each) for each in found if each.followed))
        if troubles:
            resource, error = next(iter(troubles.items()))
            log.warning("resources are not converged", number=len(troubles), resource=resource, error=error)

    async def _follow(self, each: _Found, engine: Engine) -> None:
        """Begins what the engine has to do for a resource."""
        resource = each.resource
        if each.seen.problems or resource.suspended:
            return
        due, policy = self._is_due(each), resource.policy
        for repository in each.dropped:
            if repository in engine.repositories:
                self._begin(each, repository, partial(self._engine.disconnect, repository))
        missing = any(fault.reason is Reason.SECRET_MISSING for fault in each.faults)
        for branch, repository in each.own.items():
            known = engine.repositories.get(repository)
            failed = known is not None and known.state is RepositoryState.FAILED
            if (known is None and not missing and await self._announced(each)) or (known and known.policy != policy):
                self._begin(each, repository, partial(self._engine.connect, resource.url, branch, policy))
            elif known and not missing and (due or failed or not known.wanted):  # Connect alone wants no commit
                self._begin(each, repository, partial(self._engine.sync, repository), failed)

    def _begin(self, each: _Found, repository: str, call: Callable[[], Awaitable[object]], troubled: bool = False) -> None:
        current = self._repositories.get(each.resource.key)  # it may have been deleted since the sweep began
        if current and not current.resource.deleting and self._errands.may_start(repository, each.began, troubled):
            self._errands.start(repository, call, troubled)

    async def _announced(self, each: _Found) -> bool:
        """Writes down what the engine is about to hear of, so that whoever deletes the resource knows. False if it is gone."""
        named = {one.get("repository") for one in each.resource.status.get("branches", ())}
        if named.issuperset(each.own.values()):
            return True
        written = await self._telling.write(each.resource, status.intended(each.resource))
        if written is None:
            return False
        each.resource = replace(each.resource, status=written)
        return True

    def _is_due(self, each: _Found) -> bool:
        resource = each.resource
        try:
            last = self._looked_at(each) or last_sync(resource)
            each.next_sync = schedule.next_time(resource.schedule, resource.uid, last) if last and resource.schedule else None
        except schedule.ImpossibleSchedule as error:
            each.faults.append(Fault(Reason.IMPOSSIBLE_SCHEDULE, error.message))
            return False
        return bool(resource.schedule) and (each.next_sync is None or each.next_sync <= self._now())

    def _looked_at(self, each: _Found) -> datetime | None:
        """When an errand of ours last looked at its git server."""
        ended = [self._errands.results[one].at for one in each.own.values() if one in self._errands.results]
        return max(ended, default=None)

    async def _tell(self, each: _Found, engine: Engine | None, why: str, fleet: Fleet) -> None:
        results = self._errands.results
        if any(one in self._errands.running or (one in results and results[one].at >= each.began) for one in each.dropped):
            return  # what the engine listed may be older than what was done since
        failed = {one: results[one] for one in each.own.values() if one in results and results[one].failure}
        failures = {one: _failure(each.resource, result) for one, result in failed.items()}
        seen = Observation(
            repositories=engine.repositories if engine else None,
            unavailable=why,
            faults=tuple(each.faults),
            taken=each.taken,
            dropped=each.dropped,
            failures=failures,
            jobs=fleet.by_repository,
            last_sync=self._looked_at(each),
            next_sync=each.next_sync,
        )
        await self._telling.tell(each.resource, status.observed(each.resource, seen, self._now()))

    def _outcome(self, found: Collection[_Found], engine: Engine | None, fleet: Fleet) -> Outcome:
        reasons: dict[str, int] = {}
        under_way = bool(self._errands.running) or any(each.dropped for each in found)
        for each in found:
            current = self._repositories.get(each.resource.key)
            reason = current.ready_reason if current else ""
            reasons[reason or "Unknown"] = reasons.get(reason or "Unknown", 0) + 1
            if engine and each.followed and not each.resource.suspended:
                known = [engine.repositories.get(one) for one in each.own.values()]
                under_way |= any(one is None or one.state not in _SETTLED for one in known)
        due = min((each.next_sync for each in found if each.next_sync), default=None)
        return Outcome(under_way or fleet.running > 0, due, reasons, fleet, engine is None)


_SETTLED = (RepositoryState.READY, RepositoryState.FAILED)


def _failure(resource: Resource, result: Result) -> str:
    """Why the last errand failed. Ingestion sees a Secret through a volume, which follows late."""
    if result.reason == EngineReason.CREDENTIALS_MISSING and resource.credentials:
        return f"the engine does not see the credentials of Secret {resource.credentials} yet, which takes up to two minutes"
    return result.failure
