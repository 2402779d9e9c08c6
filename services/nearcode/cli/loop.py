"""Runs a command's coroutine so that an interrupt or SIGTERM still stops whatever it started."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Terminated(Exception):
    """The process was asked to end (SIGTERM)."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end. Raises KeyboardInterrupt (SIGINT) and Terminated (SIGTERM) after everything was closed."""
    return asyncio.run(_guarded(main))


async def _guarded(main: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)
    terminated = False  # SIGINT needs nothing: asyncio.run cancels this task, and this one cancels `task` and awaits its end

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            raise Terminated from None
        raise
