"""Ends work that would go on for ever."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 1.0
"""A task that has not ended by then is cancelled again."""


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancels tasks and returns when they have ended, whatever they ended with.

    Once is not always enough: up to Python 3.11 `asyncio.wait_for`, which client libraries use, drops a cancellation that
    comes together with the result it waits for (python/cpython issue 86296), and a loop around it goes on. This is for such
    loops: work that takes longer than AGAIN_SECONDS to clean up after itself would be interrupted in that.
    """
    told = left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    await asyncio.gather(*told, return_exceptions=True)
