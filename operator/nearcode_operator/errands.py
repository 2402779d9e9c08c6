"""Calls to the engine that may take as long as a fetch does: they run beside the sweeps, one at a time for a repository."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from nearcode.domain.errors import NearcodeError, Reason, Unavailable
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

_LONGEST_PAUSE = 720
"""Times the first pause: an hour, if that is five seconds."""

_LATER = frozenset({Reason.OVERLOADED, Reason.FETCH_IN_PROGRESS})
"""The engine has too much to do, or is at it: no failure, but to be asked for again when it says so."""

_PATIENCE_SECONDS = 120.0
"""How long one is put off before that is told as a failure."""


@dataclass(frozen=True, slots=True)
class Result:
    """How the last errand for a repository ended, and how many have failed since one went well."""

    at: datetime
    failure: str = ""
    failures: int = 0
    reason: str = ""
    """The engine's, of the failure."""


class Errands:
    """Runs calls, `at_once` at most. `done` is told of each that ended. What is lost when the process ends is wanted again by
    whoever looks next: an errand changes nothing that a second one would not change, too."""

    def __init__(self, at_once: int, pause: float, now: Callable[[], datetime], done: Callable[[], None]) -> None:
        self._slots, self._pause, self._now, self._done = asyncio.Semaphore(at_once), pause, now, done
        self._running: dict[str, asyncio.Task[None]] = {}
        self.results: dict[str, Result] = {}
        """By repository id. Those of a resource that is gone are forgotten with it."""

    @property
    def running(self) -> Collection[str]:
        """Repositories with an errand under way."""
        return self._running.keys()

    def may_start(self, repository: str, seen: datetime, troubled: bool = False) -> bool:
        """Whether none is under way for it, none has ended since what asks for one was seen, and, after failures, a pause is
        over that doubles with each. `troubled`: the last one went well, but what came of it did not."""
        last = self.results.get(repository)
        if repository in self._running or last is None:
            return repository not in self._running
        if last.at > seen:
            return False
        if not (last.failures or troubled):
            return True
        pause = self._pause * min(_LONGEST_PAUSE, 1 << min(16, max(0, last.failures - 1)))
        return (self._now() - last.at).total_seconds() >= pause

    def start(self, repository: str, call: Callable[[], Awaitable[object]], troubled: bool = False) -> None:
        """Begins one. `troubled`: it is one more try after what did not go well."""
        self._running[repository] = asyncio.create_task(self._run(repository, call, troubled))

    async def settled(self, repositories: Collection[str]) -> None:
        """Waits until none is under way for these."""
        waiting = [self._running[one] for one in repositories if one in self._running]
        if waiting:
            await asyncio.wait(waiting)

    def forget(self, repositories: Collection[str]) -> None:
        """What came of their errands matters no more."""
        for repository in repositories:
            self.results.pop(repository, None)

    async def close(self) -> None:
        """Gives up what is under way."""
        for task in (running := list(self._running.values())):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, repository: str, call: Callable[[], Awaitable[object]], troubled: bool) -> None:
        before = self.results.get(repository)
        failures = before.failures if before else 0
        try:
            async with self._slots:
                await self._patiently(call)
        except NearcodeError as error:
            self.results[repository] = Result(self._now(), error.message, failures + 1, error.reason)
        except Exception as error:  # a bug that shows in one repository must not stop the others
            log.exception("an errand is broken", repository=repository)
            message = f"internal error ({type(error).__name__}): see the operator's log"
            self.results[repository] = Result(self._now(), message, failures + 1)
        else:
            self.results[repository] = Result(self._now(), "", failures + 1 if troubled else 0)
        finally:
            del self._running[repository]
            self._done()

    async def _patiently(self, call: Callable[[], Awaitable[object]]) -> None:
        """The slot is kept meanwhile, so that the engine is asked for less while it has too much to do."""
        began = self._now()
        while True:
            try:
                await call()
            except Unavailable as error:
                if error.reason not in _LATER or (self._now() - began).total_seconds() >= _PATIENCE_SECONDS:
                    raise
                await asyncio.sleep(error.retry_after)
            else:
                return
