"""When sweeps run: at once when something happened, soon while something is under way, else now and then."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from nearcode.domain.errors import NearcodeError, Unavailable
from nearcode.telemetry.log import get_logger

from nearcode_operator.convergence import Outcome
from nearcode_operator.settings import SweepSettings

log = get_logger(__name__)

_GATHER_SECONDS = 0.2
"""What happens within this time is one reason to sweep, not many."""
_SHARE = 4.0
"""Pauses are this many times as long as the sweep before: with a thousand resources, too, the engine has time left."""
_LONGEST_SECONDS = 900.0
"""A sweep that takes longer hangs: the process ends and is started anew."""

Told = Callable[[Outcome | None, float], None]
"""Told what each sweep found (None: it failed) and how many seconds it took."""


class Sweeping:
    """Runs `sweep` until it is cancelled. `wake` may be called at any time."""

    def __init__(
        self,
        sweep: Callable[[], Awaitable[Outcome]],
        settings: SweepSettings,
        now: Callable[[], datetime],
        told: Told = lambda outcome, seconds: None,
    ) -> None:
        self._sweep, self._settings, self._now, self._told = sweep, settings, now, told
        self._woken = asyncio.Event()
        self.working = False
        """Whether the last sweep went through."""

    def wake(self) -> None:
        """Something happened."""
        self._woken.set()

    async def healthy(self) -> bool:
        """For readiness: whether the last sweep went through."""
        return self.working

    async def run(self) -> None:
        """Sweeps for ever. Raises TimeoutError when a sweep hangs."""
        while True:
            self._woken.clear()
            began = time.monotonic()
            outcome = await self._once()
            seconds = time.monotonic() - began
            self.working = outcome is not None
            self._told(outcome, seconds)
            await asyncio.sleep(max(_GATHER_SECONDS, min(seconds, self._settings.idle_seconds)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self.pause(outcome, seconds))

    def pause(self, outcome: Outcome | None, seconds: float) -> float:
        """Seconds until the next sweep, if nothing happens before. `seconds`: what this one took."""
        settings = self._settings
        if outcome is None:
            return settings.idle_seconds
        pause = max(settings.busy_seconds, _SHARE * seconds) if outcome.unsettled else settings.idle_seconds
        if outcome.due:
            pause = min(pause, max(settings.busy_seconds, (outcome.due - self._now()).total_seconds()))
        return pause

    async def _once(self) -> Outcome | None:
        try:
            return await asyncio.wait_for(self._sweep(), _LONGEST_SECONDS)
        except Unavailable as error:
            log.warning("no sweep: a dependency is away", error=error.message)
        except NearcodeError as error:
            log.error("no sweep", reason=error.reason, error=error.message)  # noqa: TRY400 - expected, no stack
        return None
