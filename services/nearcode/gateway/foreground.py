"""Somebody waits: while a question is answered, what works behind steps aside."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing

from nearcode.domain.assistant import Assistant, Found, Part
from nearcode.domain.completion import Message
from nearcode.domain.repository import Workspace
from nearcode.domain.retrieval import CodeCursor, Query

InFront = Callable[[], AbstractContextManager[None]]


class ForegroundAssistant:
    """An assistant each of whose answers is given inside of `in_front()`."""

    def __init__(self, assistant: Assistant, in_front: InFront) -> None:
        self._assistant, self._in_front = assistant, in_front

    async def complete(
        self, user: str, workspace: Workspace, cursor: CodeCursor, max_tokens: int, limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        answer = self._assistant.complete(user, workspace, cursor, max_tokens, limit, seconds)
        with self._in_front():
            async with aclosing(answer) as parts:
                async for part in parts:
                    yield part

    async def chat(
        self, user: str, workspaces: Sequence[Workspace], messages: Sequence[Message], limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        answer = self._assistant.chat(user, workspaces, messages, limit, seconds)
        with self._in_front():
            async with aclosing(answer) as parts:
                async for part in parts:
                    yield part

    async def search(
        self,
        user: str,
        workspaces: Sequence[Workspace],
        query: str,
        limit: int,
        min_score: float,
        seconds: float,
        everything: bool = False,
    ) -> Found:
        with self._in_front():
            return await self._assistant.search(user, workspaces, query, limit, min_score, seconds, everything)

    async def context(
        self, user: str, workspace: Workspace, cursor: CodeCursor, limit: int, tokens: int, seconds: float
    ) -> Found:
        with self._in_front():
            return await self._assistant.context(user, workspace, cursor, limit, tokens, seconds)

    async def explain(self, user: str, workspaces: Sequence[Workspace], query: Query, seconds: float) -> Found:
        with self._in_front():
            return await self._assistant.explain(user, workspaces, query, seconds)

    async def report_outcome(self, user: str, completion: str, outcome: str) -> None:
        await self._assistant.report_outcome(user, completion, outcome)
