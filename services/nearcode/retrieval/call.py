"""One question on its way through retrieval: its budget, its tasks, and the lanes that it asks."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nearcode.domain.budget import Budget
from nearcode.domain.errors import Unavailable
from nearcode.domain.index import ChunkIndex, Hit, LaneQuery
from nearcode.domain.principal import Scope
from nearcode.domain.repository import Revision
from nearcode.domain.retrieval import Query
from nearcode.domain.spaces import View
from nearcode.retrieval.beside import Beside
from nearcode.retrieval.fusion import Lanes
from nearcode.retrieval.idf import Idf
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.reading import Reading

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One question on its way, with the tasks that must not outlive it."""

    scope: Scope
    query: Query
    intent: Intent
    budget: Budget
    limit: int
    view: View
    failure: Unavailable | None = None
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """The folder that was asked for, without its last slash."""
        return self.query.path_prefix.strip("/")

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts work that ends with the call at the latest."""
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of work that is given up when the time is over; None if it was late or its dependency does not answer."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            return None
        except Unavailable as error:
            self.failure = error
            return None

    async def wait(self, seconds: float, *tasks: asyncio.Task[Any]) -> None:
        """Waits until the tasks are done or the time is over."""
        if not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=seconds)

    def result(self, task: asyncio.Task[T] | None) -> T | None:
        """A task's result; None if it is late or its dependency does not answer, which is remembered."""
        if task is None or not task.done():
            return None
        try:
            return task.result()
        except Unavailable as error:
            self.failure = error
            return None

    async def close(self) -> None:
        """Ends what is still running."""
        running = [task for task in self.tasks if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for task in self.tasks:
            if not task.cancelled():
                task.exception()  # who needed the result has got it; nobody else has to


@dataclass(frozen=True, slots=True)
class Found:
    """What the lanes brought back for a call; `beside`: what the code at a cursor holds, if passages are asked for; `reading`:
    what was read of a question's chunks already."""

    lanes: Lanes
    idf: Idf
    revisions: dict[str, Revision]
    beside: Beside | None = None
    reading: Reading | None = None


@dataclass(slots=True)
class Asking:
    """The lanes that one index is asked for. Those that are added before `ask` go in one request: what two of them find is then
    read once, and each request costs a third of a millisecond."""

    call: Call
    index: ChunkIndex
    _next: dict[str, Sequence[LaneQuery]] = field(default_factory=dict)
    _asked: dict[str, tuple[asyncio.Task[list[list[Hit]]], slice]] = field(default_factory=dict)

    def add(self, lane: str, queries: Sequence[LaneQuery]) -> None:
        """A lane for the next request."""
        if queries:
            self._next[lane] = queries

    def ask(self) -> None:
        """Sends the lanes that were added since the last time."""
        queries = [query for each in self._next.values() for query in each]
        if not queries:
            return
        task, at = self.call.start(self.index.search(self.call.scope, queries)), 0
        for lane, each in self._next.items():
            self._asked[lane] = task, slice(at, at + len(each))
            at += len(each)
        self._next.clear()

    async def leave(self) -> None:
        """Lets what was asked go to the index before its caller computes on: it takes the loop two steps."""
        for _ in range(2):
            await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        """Until all have answered, or the time is over."""
        await self.call.wait(seconds, *{task for task, _ in self._asked.values()})

    def answer(self, lane: str) -> list[list[Hit]] | None:
        """What each of a lane's queries found; None if it was not asked, is late, or the index does not answer."""
        task, part = self._asked.get(lane, (None, slice(0)))
        found = self.call.result(task)
        return None if found is None else found[part]

    async def awaited(self, lane: str) -> list[list[Hit]]:
        """The same, waited for; empty if it was not asked. Raises Unavailable."""
        task, part = self._asked.get(lane, (None, slice(0)))
        return [] if task is None else (await asyncio.shield(task))[part]
