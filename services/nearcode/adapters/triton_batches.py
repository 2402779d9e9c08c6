"""The texts of all callers, sent in batches. Texts that do not fit into the requests under way wait here, and so do callers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearcode.adapters.triton_limit import InFlightLimit
from nearcode.adapters.triton_waiting import WaitingText, WaitingTexts

Vectors = NDArray[np.float32]


@dataclass(eq=False, slots=True)
class _Caller:
    """Who waits for `left` more vectors."""

    vectors: Vectors
    left: int
    done: "asyncio.Future[None]"


_Batch = list[WaitingText[_Caller]]


class Batches:
    """`send(texts, waited)` embeds one batch; `waited` is how long its oldest text waited for a place, in seconds. A batch that
    fails fails all whose texts are in it, and one that nobody waits for any more is cancelled."""

    def __init__(self, send: Callable[[Sequence[bytes], float], Awaitable[Vectors]], limit: InFlightLimit) -> None:
        self._send, self._limit = send, limit
        self._texts: WaitingTexts[_Caller] = WaitingTexts()
        self._running: dict[asyncio.Task[None], _Batch] = {}

    @property
    def in_flight(self) -> int:
        """Batches under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Texts that wait for a place."""
        return len(self._texts)

    async def embed(self, texts: Sequence[bytes], dimensions: int, most: int) -> Vectors:
        """Shape (texts, dimensions), in batches of at most `most` texts."""
        vectors = np.empty((len(texts), dimensions), np.float32)
        if not texts:
            return vectors
        caller = _Caller(vectors, len(texts), asyncio.get_running_loop().create_future())
        now = time.monotonic()
        self._texts.add(WaitingText(text, caller, position, now) for position, text in enumerate(texts))
        self._start(most)
        try:
            await caller.done
        finally:
            self._leave(caller)
        return vectors

    async def close(self) -> None:
        """Cancels what is under way."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, most: int) -> None:
        while len(self._running) < int(self._limit) and (texts := self._texts.take(most)):
            task = asyncio.create_task(self._run(texts))
            self._running[task] = texts
            task.add_done_callback(lambda ended: self._ended(ended, most))

    async def _run(self, texts: _Batch) -> None:
        waited = time.monotonic() - min(text.since for text in texts)
        vectors = await self._send([text.text for text in texts], waited)
        for text, vector in zip(texts, vectors, strict=True):
            text.caller.vectors[text.position] = vector
            text.caller.left -= 1
            if not text.caller.left and not text.caller.done.done():
                text.caller.done.set_result(None)

    def _ended(self, task: asyncio.Task[None], most: int) -> None:
        texts = self._running.pop(task)
        error = None if task.cancelled() else task.exception()
        for caller in {text.caller for text in texts} if error or task.cancelled() else ():
            self._texts.drop(caller)
            if not caller.done.done():
                caller.done.set_exception(error) if error else caller.done.cancel()
        self._start(most)

    def _leave(self, caller: _Caller) -> None:
        if caller.left:
            self._texts.drop(caller)
        for task, texts in self._running.items():
            if all(text.caller.done.done() for text in texts):
                task.cancel()
