"""Calls to other services, by descriptor: tokens, deadlines, trace context and errors in one place."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from nearcode.domain.errors import Unavailable
from nearcode.runtime.rpc_errors import error_of
from nearcode.telemetry.propagation import current_traceparent

MAX_RESPONSE_BYTES = 16 * 2**20
"""File versions of 1 MB travel whole, and several small ones in one message."""

READS = {
    "nearcode.api.assistant.v1.AssistantService": ("Search", "Context", "Explain"),
    "nearcode.api.chunking.v1.ChunkingService": ("Chunk",),
    "nearcode.api.embedding.v1.EmbeddingService": ("Embed",),
    "nearcode.api.ingestion.v1.IngestionService": ("List", "Get", "ListFiles", "Digest"),
    "nearcode.api.repositories.v1.RepositoriesService": ("List", "Get", "ListFiles", "Digest"),
    "nearcode.api.retrieval.v1.RetrievalService": ("Retrieve", "Explain"),
}
"""Unary methods that change nothing: gRPC may try them again when the server could not be reached."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A connection, made by the first call and again after it broke, with the token that its calls carry."""

    grpc: grpc.aio.Channel
    address: str
    token: str = ""

    async def close(self) -> None:
        """Ends the calls in flight with Unavailable."""
        await self.grpc.close()


def connect(address: str, token: str | None = None) -> Channel:
    """A channel to `host:port` or `unix:PATH`. Does not wait for the server: a call tells whether it is there."""
    options = [
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.service_config", json.dumps(_service_config())),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),  # two minutes by default, long after a restarted server is back
        ("grpc.use_local_subchannel_pool", 1),  # else a new channel inherits another one's back-off
        ("grpc.enable_http_proxy", 0),
    ]
    return Channel(grpc.aio.insecure_channel(address, options=options), address, token or "")


def _service_config() -> dict[str, object]:
    names = [{"service": service, "method": method} for service, methods in READS.items() for method in methods]
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": [grpc.StatusCode.UNAVAILABLE.name],
    }
    # One retry in ten calls at most: a storm of retries keeps a struggling server down.
    return {"methodConfig": [{"name": names, "retryPolicy": retry}], "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}}


class Client:
    """The methods of one service at the other end of a channel. Raises the domain errors that the servicer raised, and
    Unavailable when the service does not answer, or not in time."""

    def __init__(self, channel: Channel, service: ServiceDescriptor) -> None:
        self._channel, self._service = channel, service

    async def unary(self, method: str, request: Message, seconds: float) -> Any:
        """Calls a unary method and returns its response message. Cancelling the caller cancels the call."""
        descriptor = self._service.methods_by_name[method]
        start = self._channel.grpc.unary_unary(self._path(descriptor))
        call = start(request.SerializeToString(), timeout=seconds, metadata=self._metadata())
        try:
            return self._decode(descriptor, await call)
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._asked()) from error
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from error.__cause__

    async def stream(self, method: str, request: Message, seconds: float) -> AsyncGenerator[Any, None]:
        """Calls a server-streaming method and yields its response messages. Closing the iterator cancels the call."""
        descriptor = self._service.methods_by_name[method]
        start = self._channel.grpc.unary_stream(self._path(descriptor))
        call = start(request.SerializeToString(), timeout=seconds, metadata=self._metadata())
        try:
            async for body in call:
                yield self._decode(descriptor, body)
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._asked()) from error
        except asyncio.CancelledError as error:
            raise self._cancelled(error) from error.__cause__
        finally:
            call.cancel()

    def _path(self, method: MethodDescriptor) -> str:
        return f"/{self._service.full_name}/{method.name}"

    def _metadata(self) -> list[tuple[str, str]]:
        fields = [("authorization", f"Bearer {self._channel.token}")] if self._channel.token else []
        traceparent = current_traceparent()
        return [*fields, ("traceparent", traceparent)] if traceparent else fields

    def _decode(self, method: MethodDescriptor, body: bytes) -> Message:
        try:
            return GetMessageClass(method.output_type).FromString(body)
        except DecodeError as error:
            raise Unavailable(f"{self._asked()} answered with bytes that are no {method.output_type.name}") from error

    def _asked(self) -> str:
        return f"{self._service.name} at {self._channel.address}"

    def _cancelled(self, error: asyncio.CancelledError) -> BaseException:
        """gRPC tells a closed channel as a cancellation, too; only our own may pass for one."""
        task = asyncio.current_task()
        if task and task.cancelling():
            return error
        return Unavailable(f"the connection to {self._asked()} was closed")
