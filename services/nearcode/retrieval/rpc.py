"""Retrieval on the wire."""

from typing import NamedTuple

from nearcode.api.retrieval.v1 import retrieval_pb2 as pb
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.retrieval import Context, Query, Retriever
from nearcode.runtime.channel import Client
from nearcode.runtime.server import Call
from nearcode.runtime.wire import (
    cursor_from_proto,
    cursor_to_proto,
    snippet_from_proto,
    snippet_to_proto,
    stage_from_proto,
    stage_to_proto,
)


class Asked(NamedTuple):
    """A question and the repositories it may touch."""

    scope: Scope
    query: Query


class RetrievalServicer:
    """Server side. Its callers are services of ours: the principal is whom the gateway has authenticated."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    async def retrieve(self, request: pb.RetrieveRequest, call: Call) -> pb.RetrieveResponse:
        context = await self._retriever.retrieve(*query_from_proto(request.query), call.seconds)
        return pb.RetrieveResponse(
            snippets=map(snippet_to_proto, context.snippets),
            plan=context.plan,
            stages=map(stage_to_proto, context.stages),
            dropped=context.dropped,
            probability=context.probability,
            nothing_useful=not context.useful,
        )

    async def explain(self, request: pb.ExplainRequest, call: Call) -> pb.ExplainResponse:
        context = await self._retriever.explain(*query_from_proto(request.query), call.seconds)
        return pb.ExplainResponse(
            snippets=map(snippet_to_proto, context.snippets),
            losers=map(snippet_to_proto, context.losers),
            plan=context.plan,
            stages=map(stage_to_proto, context.stages),
            dropped=context.dropped,
            probability=context.probability,
            nothing_useful=not context.useful,
            evidence=context.evidence,
        )


class RemoteRetriever:
    """Client side: a Retriever in another process."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def retrieve(self, scope: Scope, query: Query, seconds: float) -> Context:
        if not scope.repositories:
            return NOTHING
        request = pb.RetrieveRequest(query=query_to_proto(scope, query))
        return context_from_proto(await self._client.unary("Retrieve", request, seconds=seconds))

    async def explain(self, scope: Scope, query: Query, seconds: float) -> Context:
        if not scope.repositories:
            return NOTHING
        request = pb.ExplainRequest(query=query_to_proto(scope, query))
        return context_from_proto(await self._client.unary("Explain", request, seconds=seconds))


DEFAULT_LIMIT = Query().limit
"""What a message without a limit gets."""
NOTHING = Context((), "none")
"""The answer to a question that may touch no repository. It is never sent: on the wire, no repositories mean all readable."""


def query_to_proto(scope: Scope, query: Query) -> pb.Query:
    """`scope` must hold a repository, because none on the wire means all that the principal may read."""
    assert scope.repositories
    principal = scope.principal
    message = pb.Query(
        principal=pb.Principal(user=principal.user, epoch=principal.epoch, repositories=sorted(principal.repositories)),
        repositories=sorted(scope.repositories),
        limit=query.limit,
        tokens=query.tokens,
        min_score=query.min_score,
        path_prefix=query.path_prefix,
        everything=query.everything,
    )
    if query.cursor is None:
        message.question = query.question
    else:
        message.cursor.CopyFrom(cursor_to_proto(query.cursor))
    return message


def query_from_proto(message: pb.Query) -> Asked:
    """The scope is built anew from the principal, so that a message cannot widen it. Raises InvalidRequest."""
    if not message.HasField("principal"):
        raise InvalidRequest("a query names who asks", field="query.principal")
    asks = message.principal
    scope = Principal(asks.user, asks.epoch, frozenset(asks.repositories)).scope(message.repositories)
    query = Query(
        question=message.question,
        cursor=cursor_from_proto(message.cursor) if message.HasField("cursor") else None,
        limit=message.limit or DEFAULT_LIMIT,
        tokens=message.tokens,
        min_score=message.min_score,
        path_prefix=message.path_prefix,
        everything=message.everything,
    )
    return Asked(scope, query)


def context_from_proto(message: pb.RetrieveResponse | pb.ExplainResponse) -> Context:
    """What a RetrieveResponse or an ExplainResponse says."""
    explained = message if isinstance(message, pb.ExplainResponse) else pb.ExplainResponse()
    return Context(
        snippets=tuple(map(snippet_from_proto, message.snippets)),
        plan=message.plan,
        losers=tuple(map(snippet_from_proto, explained.losers)),
        stages=tuple(map(stage_from_proto, message.stages)),
        dropped=message.dropped,
        probability=message.probability,
        useful=not message.nothing_useful,
        evidence=dict(explained.evidence),
    )
