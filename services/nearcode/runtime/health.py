"""Health that follows dependencies: asked over gRPC (grpc.health.v1) and over HTTP (/readyz), answered from one place."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from grpc_health.v1 import health_pb2

from nearcode.domain.errors import NearcodeError, NotFound, Unavailable
from nearcode.runtime.ending import end
from nearcode.runtime.handler import Call
from nearcode.telemetry.log import get_logger

Check = Callable[[], Awaitable[bool]]
"""Asks a dependency whether it can work now. False, an exception or silence all mean no."""

DRAINING = "draining"

_log = get_logger(__name__)


class Health:
    """Polls the checks of a process. Ready when all of them pass and nobody has asked the process to end.

    `interval`: seconds between two rounds. `patience`: seconds after which a silent check counts as failed.
    """

    def __init__(self, interval: float = 1.0, patience: float = 5.0) -> None:
        self._interval, self._patience = interval, patience
        self._checks: dict[str, Check] = {}
        self._failing: frozenset[str] = frozenset()
        self._draining = False
        self._changed = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None

    def add(self, name: str, check: Check) -> None:
        """Registers a dependency. It counts from the next round on."""
        self._checks[name] = check

    @property
    def ready(self) -> bool:
        return not self.failing

    @property
    def failing(self) -> list[str]:
        """Names of the checks that fail, and `draining` once the process ends."""
        return sorted(self._failing) + [DRAINING] * self._draining

    @property
    def draining(self) -> bool:
        return self._draining

    async def start(self) -> None:
        """Runs the first round, then polls until `stop`."""
        if self._polling is None:
            await self.refresh()
            self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Stops polling."""
        if self._polling:
            await end([self._polling])
            self._polling = None

    def drain(self) -> None:
        """Says from now on that the process is not ready, whatever its dependencies do."""
        self._draining = True
        self._tell()

    async def refresh(self) -> None:
        """Runs every check once."""
        names = list(self._checks)
        passed = await asyncio.gather(*(self._passes(name) for name in names))
        failing = frozenset(name for name, good in zip(names, passed, strict=True) if not good)
        if failing != self._failing:
            _log.warning("readiness changed", failing=sorted(failing))
            self._failing = failing
            self._tell()

    async def changed(self) -> None:
        """Waits for the next change of readiness."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.refresh()

    async def _passes(self, name: str) -> bool:
        try:
            return await asyncio.wait_for(self._checks[name](), self._patience)
        except (NearcodeError, OSError, TimeoutError):
            return False
        except Exception:  # noqa: BLE001 - a bug in one check must not end the polling of the others
            _log.exception("a health check is broken", check=name)
            return False


class HealthServicer:
    """grpc.health.v1 for a server's services; all of them share the readiness of their process."""

    def __init__(self, health: Health, services: Collection[str]) -> None:
        self._health, self._services = health, {"", *services}

    async def check(self, request: health_pb2.HealthCheckRequest, call: Call) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            raise NotFound(f"no service {request.service!r} here")
        return self._status(request.service)

    async def watch(self, request: health_pb2.HealthCheckRequest, call: Call) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last = None
        while True:
            status = self._status(request.service)
            if status != last:
                yield status
                last = status
            if self._health.draining:
                raise Unavailable("the server ends")  # an open watch would hold up its end
            if status == self._status(request.service):
                await self._health.changed()

    def _status(self, service: str) -> health_pb2.HealthCheckResponse:
        kinds = health_pb2.HealthCheckResponse
        if service not in self._services:
            return kinds(status=kinds.SERVICE_UNKNOWN)
        return kinds(status=kinds.SERVING if self._health.ready else kinds.NOT_SERVING)
