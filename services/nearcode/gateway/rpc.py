"""The gateway on the wire: what IDEs call, and the client side that the command line uses."""

from collections.abc import AsyncGenerator, Sequence

from nearcode.api.assistant.v1 import assistant_pb2 as pb
from nearcode.domain.assistant import Assistant, Found, Part, Report, Sources
from nearcode.domain.completion import Message
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.repository import Workspace
from nearcode.domain.retrieval import CodeCursor, Query
from nearcode.runtime import wire
from nearcode.runtime.channel import Client
from nearcode.runtime.server import Call


class AssistantServicer:
    """Server side."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    async def complete(self, request: pb.CompleteRequest, call: Call) -> AsyncGenerator[pb.CompleteResponse, None]:
        workspace, cursor = wire.workspace_from_proto(request.workspace), _cursor(request)
        parts = self._assistant.complete(call.user, workspace, cursor, request.max_tokens, request.limit, call.seconds)
        async for part in parts:
            yield _complete_response(part)

    async def chat(self, request: pb.ChatRequest, call: Call) -> AsyncGenerator[pb.ChatResponse, None]:
        messages = [wire.message_from_proto(message) for message in request.messages]
        workspaces = list(map(wire.workspace_from_proto, request.workspaces))
        async for part in self._assistant.chat(call.user, workspaces, messages, request.limit, call.seconds):
            yield _chat_response(part)

    async def search(self, request: pb.SearchRequest, call: Call) -> pb.SearchResponse:
        workspaces = list(map(wire.workspace_from_proto, request.workspaces))
        found = await self._assistant.search(
            call.user, workspaces, request.query, request.limit, request.min_score, call.seconds, request.everything
        )
        return pb.SearchResponse(snippets=map(wire.snippet_to_proto, found.snippets), report=_report(found.report))

    async def context(self, request: pb.ContextRequest, call: Call) -> pb.ContextResponse:
        workspace, cursor = wire.workspace_from_proto(request.workspace), _cursor(request)
        found = await self._assistant.context(call.user, workspace, cursor, request.limit, request.tokens, call.seconds)
        return pb.ContextResponse(snippets=map(wire.snippet_to_proto, found.snippets), report=_report(found.report))

    async def explain(self, request: pb.ExplainRequest, call: Call) -> pb.ExplainResponse:
        workspaces = list(map(wire.workspace_from_proto, request.workspaces))
        found = await self._assistant.explain(call.user, workspaces, _explained(request), call.seconds)
        return pb.ExplainResponse(
            snippets=map(wire.snippet_to_proto, found.snippets),
            losers=map(wire.snippet_to_proto, found.losers),
            report=_report(found.report),
            evidence=found.evidence,
        )

    async def report_outcome(self, request: pb.ReportOutcomeRequest, call: Call) -> pb.ReportOutcomeResponse:
        await self._assistant.report_outcome(call.user, request.id, request.outcome)
        return pb.ReportOutcomeResponse()


class RemoteAssistant:
    """Client side of the assistant. Who asks is what the connection says, so `user` is not sent."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def complete(
        self, user: str, workspace: Workspace, cursor: CodeCursor, max_tokens: int, limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        request = pb.CompleteRequest(
            workspace=wire.workspace_to_proto(workspace),
            cursor=wire.cursor_to_proto(cursor),
            max_tokens=max_tokens,
            limit=limit,
        )
        async for answer in self._client.stream("Complete", request, seconds=seconds):
            yield _part(answer)

    async def chat(
        self, user: str, workspaces: Sequence[Workspace], messages: Sequence[Message], limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        request = pb.ChatRequest(
            workspaces=map(wire.workspace_to_proto, workspaces),
            messages=map(wire.message_to_proto, messages),
            limit=limit,
        )
        async for answer in self._client.stream("Chat", request, seconds=seconds):
            yield _part(answer)

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
        request = pb.SearchRequest(
            workspaces=map(wire.workspace_to_proto, workspaces),
            query=query,
            limit=limit,
            min_score=min_score,
            everything=everything,
        )
        return _found(await self._client.unary("Search", request, seconds=seconds))

    async def context(
        self, user: str, workspace: Workspace, cursor: CodeCursor, limit: int, tokens: int, seconds: float
    ) -> Found:
        request = pb.ContextRequest(
            workspace=wire.workspace_to_proto(workspace), cursor=wire.cursor_to_proto(cursor), limit=limit, tokens=tokens
        )
        return _found(await self._client.unary("Context", request, seconds=seconds))

    async def explain(self, user: str, workspaces: Sequence[Workspace], query: Query, seconds: float) -> Found:
        request = pb.ExplainRequest(
            workspaces=map(wire.workspace_to_proto, workspaces),
            query=query.question,
            cursor=wire.cursor_to_proto(query.cursor) if query.cursor else None,
            limit=query.limit,
            tokens=query.tokens,
            min_score=query.min_score,
            everything=query.everything,
        )
        answer = await self._client.unary("Explain", request, seconds=seconds)
        found = _found(answer)
        losers = tuple(map(wire.snippet_from_proto, answer.losers))
        return Found(found.snippets, found.report, losers, dict(answer.evidence))

    async def report_outcome(self, user: str, completion: str, outcome: str) -> None:
        request = pb.ReportOutcomeRequest(id=completion, outcome=outcome)
        await self._client.unary("ReportOutcome", request, seconds=10.0)


def _explained(request: pb.ExplainRequest) -> Query:
    """The question or the cursor that is to be explained. A limit of 0 is the server's default."""
    cursor = _cursor(request) if request.HasField("cursor") else None
    return Query(request.query, cursor, request.limit, request.tokens, request.min_score, everything=request.everything)


def _cursor(request: pb.CompleteRequest | pb.ContextRequest | pb.ExplainRequest) -> CodeCursor:
    if not request.HasField("cursor") or not request.cursor.path:
        raise InvalidRequest("name the file that is edited", field="cursor.path")
    return wire.cursor_from_proto(request.cursor)


def _complete_response(part: Part) -> pb.CompleteResponse:
    if isinstance(part, Sources):
        return pb.CompleteResponse(sources=_sources(part))
    return pb.CompleteResponse(text=part) if isinstance(part, str) else pb.CompleteResponse(report=_report(part))


def _chat_response(part: Part) -> pb.ChatResponse:
    if isinstance(part, Sources):
        return pb.ChatResponse(sources=_sources(part))
    return pb.ChatResponse(text=part) if isinstance(part, str) else pb.ChatResponse(report=_report(part))


def _sources(sources: Sources) -> pb.Sources:
    return pb.Sources(snippets=map(wire.snippet_to_proto, sources.snippets))


def _part(answer: pb.CompleteResponse | pb.ChatResponse) -> Part:
    which = answer.WhichOneof("part")
    if which == "sources":
        return Sources(tuple(map(wire.snippet_from_proto, answer.sources.snippets)))
    return answer.text if which == "text" else _report_from(answer.report)


def _found(answer: pb.SearchResponse | pb.ContextResponse | pb.ExplainResponse) -> Found:
    return Found(tuple(map(wire.snippet_from_proto, answer.snippets)), _report_from(answer.report))


def _report(report: Report) -> pb.Report:
    return pb.Report(
        id=report.id,
        plan=report.plan,
        degraded=report.degraded,
        model=report.model,
        untrusted=report.untrusted,
        stages=map(wire.stage_to_proto, report.stages),
        trace_id=report.trace_id,
        finish_reason=report.finish_reason,
        probability=report.probability,
        nothing_useful=not report.useful,
    )


def _report_from(message: pb.Report) -> Report:
    return Report(
        id=message.id,
        plan=message.plan,
        degraded=message.degraded,
        model=message.model,
        untrusted=message.untrusted,
        stages=tuple(map(wire.stage_from_proto, message.stages)),
        trace_id=message.trace_id,
        finish_reason=message.finish_reason,
        probability=message.probability,
        useful=not message.nothing_useful,
    )
