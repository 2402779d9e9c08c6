"""Calls to other services, by descriptor: tokens, deadlines, trace context and errors in one place."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry import trace

from nearcode.domain.errors import NearcodeError, Unavailable
from nearcode.runtime.reconnecting import RECONNECTING
from nearcode.runtime.rpc_errors import error_of
from nearcode.telemetry import conventions
from nearcode.telemetry.propagation import traceparent_of
from nearcode.telemetry.spans import detached

if TYPE_CHECKING:
    from nearcode.runtime.certificates import Material
    from nearcode.runtime.tls import Tls

_tracer = trace.get_tracer(__name__)

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


REPLACED_SECONDS = 600.0
"""How long calls may go on over a connection whose certificates were replaced: as long as the longest call."""
_REMEMBER_SECONDS = 5.0
"""How long the answer to "is it TLS?" holds: under load, each failed call would look at the server twice."""


class Channel:
    """A connection, made by the first call and again after it broke, with the token that its calls carry. Calls that begin
    after our certificates were replaced go over a new one. Without `tls`, or where the rule wants none, it is not encrypted."""

    def __init__(self, address: str, token: str = "", tls: "Tls | None" = None) -> None:
        self.address, self.token = address, token
        self._tls = tls if tls and tls.encrypts(address) else None
        self._material: Material | None = None
        self._why: tuple[float, Unavailable | None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._grpc = self._open()

    @property
    def connection(self) -> grpc.aio.Channel:
        """The connection for the next call."""
        if self._tls and self._tls.material() is not self._material:
            old, self._grpc = self._grpc, self._open()
            ending = asyncio.ensure_future(old.close(REPLACED_SECONDS))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        return self._grpc

    async def close(self) -> None:
        """Ends the calls in flight with Unavailable."""
        for ending in self._ending:
            ending.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._grpc.close()

    async def failure(self, error: grpc.aio.AioRpcError, asked: str) -> NearcodeError:
        """What a failed call means, with the fault in the certificates if there is one."""
        meant = error_of(error, asked)
        if not isinstance(meant, Unavailable) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            return meant
        now = asyncio.get_running_loop().time()
        if self._why is None or now - self._why[0] > _REMEMBER_SECONDS:
            self._why = now, await self._fault(error.details() or "")
        fault = self._why[1]
        return Unavailable(fault.message, fault.reason, fault.retry_after) if fault else meant

    async def _fault(self, details: str) -> Unavailable | None:
        from nearcode.runtime.tls_failures import Expectation, why

        files, name = (self._tls.material().files, self._tls.expected_name(self.address)) if self._tls else (None, "")
        return await why(Expectation(self.address, files, name), details)

    def _open(self) -> grpc.aio.Channel:
        options = list(_OPTIONS)
        if self._tls is None:
            return grpc.aio.insecure_channel(self.address, options=options)
        self._material = self._tls.material()
        if name := self._tls.expected_name(self.address):
            options.append(("grpc.ssl_target_name_override", name))
        return grpc.aio.secure_channel(self.address, self._tls.channel_credentials(), options=options)


def connect(address: str, token: str | None = None, tls: "Tls | None" = None) -> Channel:
    """A channel to `host:port` or `unix:PATH`. Does not wait for the server: a call tells whether it is there. Raises
    InvalidRequest (CERTIFICATE) when our own certificates are at fault."""
    return Channel(address, token or "", tls)


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


_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.service_config", json.dumps(_service_config())),
    *RECONNECTING,
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel inherits another one's back-off
    ("grpc.enable_http_proxy", 0),
]


class Client:
    """The methods of one service at the other end of a channel. Raises the domain errors that the servicer raised, and
    Unavailable when the service does not answer, or not in time."""

    def __init__(self, channel: Channel, service: ServiceDescriptor) -> None:
        self._channel, self._service = channel, service

    async def unary(self, method: str, request: Message, seconds: float) -> Any:
        """Calls a unary method and returns its response message. Cancelling the caller cancels the call."""
        descriptor = self._service.methods_by_name[method]
        start = self._channel.connection.unary_unary(self._path(descriptor))
        with self._span(method) as span:
            call = start(request.SerializeToString(), timeout=seconds, metadata=self._metadata(span))
            try:
                return self._decode(descriptor, await call)
            except grpc.aio.AioRpcError as error:
                raise await self._channel.failure(error, self._asked()) from error
            except asyncio.CancelledError as error:
                raise self._cancelled(error) from error.__cause__

    async def stream(self, method: str, request: Message, seconds: float) -> AsyncGenerator[Any, None]:
        """Calls a server-streaming method and yields its response messages. Closing the iterator cancels the call."""
        descriptor = self._service.methods_by_name[method]
        start = self._channel.connection.unary_stream(self._path(descriptor))
        with self._span(method) as span:
            call = start(request.SerializeToString(), timeout=seconds, metadata=self._metadata(span))
            try:
                async for body in call:
                    yield self._decode(descriptor, body)
            except grpc.aio.AioRpcError as error:
                raise await self._channel.failure(error, self._asked()) from error
            except asyncio.CancelledError as error:
                raise self._cancelled(error) from error.__cause__
            finally:
                call.cancel()

    def _path(self, method: MethodDescriptor) -> str:
        return f"/{self._service.full_name}/{method.name}"

    def _span(self, method: str) -> AbstractContextManager[trace.Span]:
        name = f"{self._service.full_name}/{method}"
        return detached(_tracer, name, conventions.rpc(name, self._channel.address))

    def _metadata(self, span: trace.Span) -> list[tuple[str, str]]:
        fields = [("authorization", f"Bearer {self._channel.token}")] if self._channel.token else []
        traceparent = traceparent_of(span)
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
