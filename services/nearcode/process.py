"""A process: it waits for what it needs, serves, and ends when it is asked to. Probes are answered all that time."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import TypeVar

from nearcode.app import App
from nearcode.domain.errors import Reason, Unavailable
from nearcode.runtime.health import Health
from nearcode.serving import Serving
from nearcode.settings import Settings
from nearcode.telemetry.log import get_logger

T = TypeVar("T")
log = get_logger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two attempts to start; each pause is twice the one before."""
_LASTING = frozenset({Reason.CERTIFICATE, Reason.INVALID_SETTING, Reason.MODEL_MISSING})
"""What is away for these reasons does not come by waiting."""


class Process:
    """Runs services until SIGTERM or SIGINT. One whose events and index are on servers waits for them, alive but not ready; an
    engine that has them in its home fails at once. `repository`: of the Job that it works for.

    `addresses` tells where it listens, once it is open.
    """

    def __init__(self, settings: Settings, targets: Sequence[str], repository: str = "") -> None:
        self._settings, self._targets, self._repository = settings, targets, repository
        self._stop = asyncio.Event()
        self._health = Health()
        self._serving: Serving | None = None
        self._stack = contextlib.AsyncExitStack()
        self.addresses: dict[str, str] = {}

    async def __aenter__(self) -> "Process":
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
                asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        if self._settings.ops.probes:
            await self._open_probes()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._health.drain()
        await self._stack.aclose()

    async def open(self) -> App | None:
        """Opens the doors and starts the workers; None when the process was asked to end before that. Raises Conflict,
        InvalidRequest and Unavailable: what waiting does not mend."""
        return await self.unless_stopped(self._opened())

    async def unless_stopped(self, work: Awaitable[T]) -> T | None:
        """What the work returns, or None: the process was asked to end, and the work was given up."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def stopped(self) -> None:
        """Returns when the process is asked to end."""
        await self._stop.wait()

    async def _opened(self) -> App:
        pause = _FIRST_PAUSE
        while True:
            app = App(self._settings, self._targets, self._repository)
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(app)
                try:
                    serving = await stack.enter_async_context(Serving(app))
                except Unavailable as error:
                    if app.holds_home or error.reason in _LASTING:
                        raise
                    log.warning("waiting for a dependency", reason=error.reason, error=error.message, seconds=pause)
                else:
                    self._serving = serving
                    self.addresses.update(serving.addresses)
                    self._stack.push_async_exit(stack.pop_all())
                    await self._health.refresh()
                    return app
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _open_probes(self) -> None:
        from nearcode.runtime.probes import Probes

        self._health.add("services", self._ready)
        await self._health.start()
        self._stack.push_async_callback(self._health.stop)
        probes = Probes(self._settings.ops.probes, self._health)
        await self._stack.enter_async_context(probes)
        self.addresses["probes"] = probes.address

    async def _ready(self) -> bool:
        return self._serving is not None and self._serving.ready
