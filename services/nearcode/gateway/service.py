"""The use cases of an IDE: resolve the workspace, split the deadline, retrieve, generate, report."""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from google.protobuf.message import Message as Event
from opentelemetry import trace

from nearcode.api.events.v1 import events_pb2
from nearcode.domain.assistant import Found, Part, Report, Sources
from nearcode.domain.budget import Budget
from nearcode.domain.completion import Generator, Message, Outcome
from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.repository import RepositoryStatus, Workspace
from nearcode.domain.retrieval import CodeCursor, Context, Query, Retriever
from nearcode.events.bus import Bus
from nearcode.gateway.observer import GatewayObserver
from nearcode.gateway.settings import GatewaySettings
from nearcode.gateway.spans import link_sources
from nearcode.gateway.telling import Teller
from nearcode.gateway.workspaces import Place, resolve_all
from nearcode.telemetry.propagation import current_trace_id
from nearcode.telemetry.spans import spanned, staged

tracer = trace.get_tracer("nearcode.gateway")

_LONGEST_QUESTION = 20_000
_LARGEST_LIMIT = 200
_OUTCOMES = frozenset({"shown", "accepted", "dismissed", "retained"})
_RETRIEVE = "retrieve"
_LEAST_TO_GENERATE = 0.03
"""Seconds: less is not worth waking the model for."""


class Readable(Protocol):
    """What a user may read now: the principal, and the repositories as they stand."""

    async def readable(self, user: str) -> tuple[Principal, Sequence[RepositoryStatus]]: ...


@dataclass(slots=True)
class _Turn:
    """One call on its way through the stages."""

    id: str
    principal: Principal
    budget: Budget
    plan: str = "empty"
    degraded: str = ""
    model: str = ""
    untrusted: bool = False
    finish_reason: str = ""
    sources: int = 0
    characters: int = 0
    context: Context = field(default_factory=lambda: Context((), "none"))

    def report(self) -> Report:
        return Report(
            id=self.id,
            plan=self.plan,
            degraded=self.degraded,
            model=self.model,
            untrusted=self.untrusted,
            stages=tuple(sorted(self.budget.reports, key=lambda stage: stage.start_ms)),
            trace_id=current_trace_id(),
            finish_reason=self.finish_reason,
            probability=self.context.probability,
            useful=self.context.useful,
        )


class Gateway:
    """Implements domain.assistant.Assistant over a retriever and a generator."""

    def __init__(
        self,
        retriever: Retriever,
        generator: Generator,
        access: Readable,
        bus: Bus,
        settings: GatewaySettings,
        observer: GatewayObserver | None = None,
    ) -> None:
        self._observer = observer or GatewayObserver()
        self._retriever, self._generator = retriever, generator
        self._access, self._bus, self._settings = access, bus, settings
        self._teller = Teller(bus)

    async def complete(
        self, user: str, workspace: Workspace, cursor: CodeCursor, max_tokens: int, limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        with spanned(tracer, "complete"):
            turn, (place,) = await self._begin(user, [workspace], seconds)
            here = place.cursor(cursor)
            await self._retrieve(turn, [place], Query(cursor=here, limit=_limit(limit, self._settings.snippets)), degrade=True)
            yield Sources(turn.context.snippets)
            parts = lambda left: self._generator.complete(here, turn.context.snippets, max_tokens, left)  # noqa: E731
            async with aclosing(self._generate(turn, parts)) as texts:
                async for text in texts:
                    yield text
            self._tell(_completion_served(turn), turn)
            yield self._report(turn, "completion")

    async def chat(
        self, user: str, workspaces: Sequence[Workspace], messages: Sequence[Message], limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        question = next((message.content for message in reversed(messages) if message.role == "user"), "")
        _check_question(question)
        with spanned(tracer, "chat"):
            turn, places = await self._begin(user, workspaces, seconds)
            await self._retrieve(
                turn, places, Query(question=question, limit=_limit(limit, self._settings.snippets)), degrade=True
            )
            yield Sources(turn.context.snippets)
            parts = lambda left: self._generator.chat(messages, turn.context.snippets, 0, left)  # noqa: E731
            async with aclosing(self._generate(turn, parts)) as texts:
                async for text in texts:
                    yield text
            self._tell(_answer_served(turn), turn)
            yield self._report(turn, "chat")

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
        asked = Query(question=query, limit=_limit(limit, 10), min_score=min_score, everything=everything)
        return await self._find(user, workspaces, asked, seconds)

    async def context(
        self, user: str, workspace: Workspace, cursor: CodeCursor, limit: int, tokens: int, seconds: float
    ) -> Found:
        with spanned(tracer, "context"):
            turn, (place,) = await self._begin(user, [workspace], seconds)
            query = Query(cursor=place.cursor(cursor), limit=_limit(limit, self._settings.snippets), tokens=tokens)
            await self._retrieve(turn, [place], query, degrade=False)
            return Found(turn.context.snippets, self._report(turn, "context"))

    async def explain(self, user: str, workspaces: Sequence[Workspace], query: Query, seconds: float) -> Found:
        default = self._settings.snippets if query.cursor else 10
        return await self._find(user, workspaces, replace(query, limit=_limit(query.limit, default)), seconds, explain=True)

    async def report_outcome(self, user: str, completion: str, outcome: str) -> None:
        if outcome not in _OUTCOMES:
            raise InvalidRequest(f"outcome is one of {', '.join(sorted(_OUTCOMES))}", field="outcome")
        event = events_pb2.OutcomeReported(user=user, id=completion, outcome=outcome)
        await self._bus.publish(event, message_id=f"outcome-{completion}-{outcome}")

    async def close(self) -> None:
        """Waits for events that are still on their way."""
        await self._teller.close()

    async def _find(
        self, user: str, workspaces: Sequence[Workspace], query: Query, seconds: float, explain: bool = False
    ) -> Found:
        if not query.cursor:
            _check_question(query.question)
        with spanned(tracer, "search"):
            turn, places = await self._begin(user, workspaces, seconds)
            if query.cursor and places:
                query = replace(query, cursor=places[0].cursor(query.cursor))
            await self._retrieve(turn, places, query, degrade=False, explain=explain)
            found, report = turn.context, self._report(turn, "explain" if explain else "search")
            return Found(found.snippets, report, found.losers, found.evidence)

    def _report(self, turn: _Turn, kind: str) -> Report:
        self._observer.answered(kind, turn.plan, turn.degraded)
        return turn.report()

    async def _begin(self, user: str, workspaces: Sequence[Workspace], seconds: float) -> tuple[_Turn, list[Place]]:
        weights = {"resolve": self._settings.budget.resolve, _RETRIEVE: self._settings.budget.retrieve}
        weights["generate"] = self._settings.budget.generate
        budget = Budget(max(0.0, seconds - self._settings.budget.margin), weights)
        with staged(tracer, budget, "resolve", self._observer.stage):
            principal, readable = await self._access.readable(user)
            places = resolve_all(workspaces, readable)
        return _Turn("c" + secrets.token_hex(8), principal, budget), places

    async def _retrieve(self, turn: _Turn, places: list[Place], query: Query, *, degrade: bool, explain: bool = False) -> None:
        """Fills the turn's context. With `degrade`, an index that is away costs the context and not the answer."""
        scope = _scope(turn.principal, places)
        # A question is about the folder it names; code at a cursor may need anything of its repository.
        asked = replace(query, path_prefix=places[0].folder if len(places) == 1 and not query.cursor else "")
        with staged(tracer, turn.budget, _RETRIEVE, self._observer.stage) as share:
            offset = (turn.budget.clock() - turn.budget.started) * 1e3
            # A search has no later stage: all that is left is its own.
            left = share.seconds() if degrade else turn.budget.remaining()
            find = self._retriever.explain if explain else self._retriever.retrieve
            try:
                turn.context = await find(scope, asked, left)
            except Unavailable as error:
                if not degrade:
                    raise
                share.skipped = True
                turn.degraded = error.reason
            turn.budget.adopt(list(turn.context.stages), offset)
            link_sources(turn.context.snippets)
        turn.plan = turn.context.plan if turn.context.plan != "none" else "in-file"
        turn.sources = len(turn.context.snippets)
        if turn.context.plan == "none" and not turn.degraded:
            turn.degraded = Reason.DEADLINE_EXCEEDED
        self._tell(_context_retrieved(turn), turn)

    async def _generate(
        self, turn: _Turn, parts: Callable[[float], AsyncGenerator[str | Outcome, None]]
    ) -> AsyncGenerator[str, None]:
        """The text; what it was made by goes into the turn. Without a model the sources are the answer."""
        with staged(tracer, turn.budget, "generate", self._observer.stage) as share:
            if share.seconds() < _LEAST_TO_GENERATE:
                share.skipped = True
                self._without_text(turn, Reason.DEADLINE_EXCEEDED)
                return
            try:
                async with aclosing(parts(share.seconds())) as stream:
                    async for part in stream:
                        if isinstance(part, Outcome):
                            turn.model, turn.untrusted, turn.finish_reason = part.model, part.untrusted, part.finish_reason
                        else:
                            turn.characters += len(part)
                            yield part
            except Unavailable as error:
                share.skipped = True
                self._without_text(turn, error.reason)
                return
        if not turn.characters:
            self._without_text(turn, turn.finish_reason or "empty")

    @staticmethod
    def _without_text(turn: _Turn, why: str) -> None:
        turn.plan = "context-only" if turn.sources else "empty"
        turn.degraded = turn.degraded or why

    def _tell(self, event: Event, turn: _Turn) -> None:
        """Publishes what was done, off the caller's path."""
        self._teller.tell(event, f"{event.DESCRIPTOR.name}-{turn.id}")


def _scope(principal: Principal, places: Sequence[Place]) -> Scope:
    """The scope of the places; no place, no code."""
    if not places:
        return Scope(principal, frozenset())
    return principal.scope([place.repository.id for place in places])


def _limit(limit: int, default: int) -> int:
    if limit < 0 or limit > _LARGEST_LIMIT:
        raise InvalidRequest(f"limit is 1 to {_LARGEST_LIMIT}", field="limit")
    return limit or default


def _check_question(question: str) -> None:
    if not question.strip():
        raise InvalidRequest("the question is empty", field="query")
    if len(question) > _LONGEST_QUESTION:
        raise InvalidRequest(f"the question is longer than {_LONGEST_QUESTION:,} characters", Reason.TOO_LARGE, "query")


def _milliseconds(turn: _Turn) -> float:
    return (turn.budget.clock() - turn.budget.started) * 1e3


def _context_retrieved(turn: _Turn) -> Event:
    return events_pb2.ContextRetrieved(
        user=turn.principal.user,
        trace_id=current_trace_id(),
        plan=turn.context.plan,
        snippets=turn.sources,
        dropped=turn.context.dropped,
        milliseconds=_milliseconds(turn),
    )


def _completion_served(turn: _Turn) -> Event:
    return events_pb2.CompletionServed(
        user=turn.principal.user,
        id=turn.id,
        trace_id=current_trace_id(),
        plan=turn.plan,
        model=turn.model,
        sources=turn.sources,
        characters=turn.characters,
        milliseconds=_milliseconds(turn),
    )


def _answer_served(turn: _Turn) -> Event:
    return events_pb2.AnswerServed(
        user=turn.principal.user,
        id=turn.id,
        trace_id=current_trace_id(),
        plan=turn.plan,
        model=turn.model,
        sources=turn.sources,
        milliseconds=_milliseconds(turn),
    )
