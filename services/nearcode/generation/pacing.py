"""Delivers a stream of small pieces: the first at once, the others together every 20 ms or line, all of them in time."""

import asyncio
from collections.abc import AsyncGenerator

from nearcode.domain.budget import Clock

INTERVAL_SECONDS = 0.02
"""A reader cannot tell it from token by token, and it saves most of the messages."""


async def paced(
    texts: AsyncGenerator[str, None], ends: float, clock: Clock, interval: float = INTERVAL_SECONDS
) -> AsyncGenerator[str, None]:
    """Yields what `texts` yields, and stops at `ends` (of `clock`). Closes `texts` in every case."""
    held, due = "", clock()
    step: asyncio.Task[str | None] | None = None
    try:
        while True:
            step = step or asyncio.create_task(_next(texts))
            await asyncio.wait({step}, timeout=max(0.0, (min(due, ends) if held else ends) - clock()))
            late = clock() >= ends
            if step.done():
                finished, step = step, None
                if finished.exception() and held:
                    yield held
                piece = finished.result()
                if piece is None:
                    break
                held += piece
            if held and (clock() >= due or "\n" in held):
                yield held
                held, due = "", clock() + interval
            if late:
                break
    finally:
        if step:
            step.cancel()
            await asyncio.wait({step})
        await texts.aclose()
    if held:
        yield held


async def _next(texts: AsyncGenerator[str, None]) -> str | None:
    return await anext(texts, None)
