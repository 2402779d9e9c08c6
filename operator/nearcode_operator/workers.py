"""Standing Deployments: as many replicas as their small and filling backlogs ask for."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nearcode.domain.backlog import Backlog
from nearcode.domain.errors import NearcodeError
from nearcode.telemetry.log import get_logger

from nearcode_operator import scaling
from nearcode_operator.ports import ClusterApi
from nearcode_operator.settings import WorkerSettings

log = get_logger(__name__)

_KNOWN_SECONDS = 60.0
"""How long a Deployment's replicas are believed to be what we last saw."""


@dataclass(slots=True)
class _Known:
    replicas: int | None
    at: float
    low_since: float | None = None


class StandingWorkers:
    """Scales the Deployments of the settings."""

    def __init__(
        self, cluster: ClusterApi, workers: Mapping[str, WorkerSettings], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster, self._workers, self._clock = cluster, workers, clock
        self._known: dict[str, _Known] = {}

    async def converge(self, backlog: Backlog) -> None:
        """Changes the replicas that differ from what is wanted."""
        for worker in self._workers.values():
            try:
                await self._one(worker, backlog)
            except NearcodeError as error:
                log.warning("a Deployment is not scaled", deployment=worker.deployment, error=error.message)

    async def _one(self, worker: WorkerSettings, backlog: Backlog) -> None:
        waiting = sum(backlog.small.get(stage, 0) + backlog.fill.get(stage, 0) for stage in worker.stages)
        known = await self._look(worker.deployment)
        if known.replicas is None:  # not installed (yet)
            return
        now, limits = self._clock(), (worker.per_replica, worker.minimum, worker.maximum)
        if scaling.wanted_replicas(waiting, *limits) >= known.replicas:
            known.low_since = None
        elif known.low_since is None:
            known.low_since = now
        low = now - known.low_since if known.low_since is not None else 0.0
        wanted = scaling.replicas(waiting, *limits, known.replicas, low)
        if wanted != known.replicas:
            await self._cluster.scale_deployment(worker.deployment, wanted)
            self._known[worker.deployment] = _Known(wanted, now)

    async def _look(self, deployment: str) -> _Known:
        known = self._known.get(deployment)
        if known is None or self._clock() - known.at >= _KNOWN_SECONDS:
            low_since = known.low_since if known else None
            known = _Known(await self._cluster.replicas(deployment), self._clock(), low_since)
            self._known[deployment] = known
        return known
