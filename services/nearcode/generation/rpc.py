"""Generation on the wire."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from nearcode.api.generation.v1 import generation_pb2 as pb
from nearcode.domain.completion import Generator, Message, Outcome
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.runtime.channel import Client
from nearcode.runtime.server import Call
from nearcode.runtime.wire import (
    cursor_from_proto,
    cursor_to_proto,
    message_from_proto,
    message_to_proto,
    snippet_from_proto,
    snippet_to_proto,
)


class GenerationServicer:
    """Server side. Closing the call stops the model."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    async def complete(self, request: pb.CompleteRequest, call: Call) -> AsyncGenerator[pb.CompleteResponse, None]:
        if not request.HasField("cursor"):
            raise InvalidRequest("a completion names its cursor", field="cursor")
        cursor, snippets = cursor_from_proto(request.cursor), [snippet_from_proto(message) for message in request.snippets]
        stream = self._generator.complete(cursor, snippets, request.max_tokens, call.seconds)
        async with aclosing(stream) as parts:
            async for part in parts:
                if isinstance(part, Outcome):
                    yield pb.CompleteResponse(outcome=outcome_to_proto(part))
                else:
                    yield pb.CompleteResponse(text=part)

    async def chat(self, request: pb.ChatRequest, call: Call) -> AsyncGenerator[pb.ChatResponse, None]:
        messages = [message_from_proto(message) for message in request.messages]
        snippets = [snippet_from_proto(message) for message in request.snippets]
        stream = self._generator.chat(messages, snippets, request.max_tokens, call.seconds)
        async with aclosing(stream) as parts:
            async for part in parts:
                if isinstance(part, Outcome):
                    yield pb.ChatResponse(outcome=outcome_to_proto(part))
                else:
                    yield pb.ChatResponse(text=part)


class RemoteGenerator:
    """Client side: a Generator in another process."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def complete(
        self, cursor: CodeCursor, snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        request = pb.CompleteRequest(
            cursor=cursor_to_proto(cursor), snippets=map(snippet_to_proto, snippets), max_tokens=max_tokens
        )
        async with aclosing(self._client.stream("Complete", request, seconds=seconds)) as responses:
            async for response in responses:
                yield part_from_proto(response)

    async def chat(
        self, messages: Sequence[Message], snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        request = pb.ChatRequest(
            messages=map(message_to_proto, messages), snippets=map(snippet_to_proto, snippets), max_tokens=max_tokens
        )
        async with aclosing(self._client.stream("Chat", request, seconds=seconds)) as responses:
            async for response in responses:
                yield part_from_proto(response)


def part_from_proto(message: pb.CompleteResponse | pb.ChatResponse) -> str | Outcome:
    return outcome_from_proto(message.outcome) if message.HasField("outcome") else message.text


def outcome_to_proto(outcome: Outcome) -> pb.Outcome:
    return pb.Outcome(
        model=outcome.model,
        finish_reason=outcome.finish_reason,
        prompt_tokens=outcome.prompt_tokens,
        completion_tokens=outcome.completion_tokens,
        untrusted=outcome.untrusted,
        snippets_used=outcome.snippets_used,
    )


def outcome_from_proto(message: pb.Outcome) -> Outcome:
    return Outcome(
        model=message.model,
        finish_reason=message.finish_reason,
        prompt_tokens=message.prompt_tokens,
        completion_tokens=message.completion_tokens,
        untrusted=message.untrusted,
        snippets_used=message.snippets_used,
    )
