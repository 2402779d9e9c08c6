"""gRPC methods from a service's descriptor and a plain object: decoding, deadlines, spans and errors in one place.

Requests arrive as bytes and are decoded here, because grpc.aio answers UNKNOWN, with a class name of ours, when its own
deserializer fails.
"""

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from opentelemetry import trace

from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.runtime.door import ENTRANCE, Entrance
from nearcode.runtime.gate import Place
from nearcode.runtime.rpc_errors import abort, grpc_code, internal, status_of
from nearcode.telemetry import conventions
from nearcode.telemetry.log import get_logger
from nearcode.telemetry.propagation import ensure_trace, use_traceparent

DEFAULT_SECONDS = 30.0
"""The longest a call may take, and what it gets when the client names no deadline."""

T = TypeVar("T")
Answer = Callable[["Call", Place], Awaitable[T]]
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, how many seconds were left when the call came in, and the id of its trace."""

    user: str
    seconds: float
    trace_id: str = ""


def rpc_handler(
    service: ServiceDescriptor,
    implementation: object,
    seconds: float = DEFAULT_SECONDS,
    longer: Mapping[str, float] | None = None,
) -> grpc.GenericRpcHandler:
    """The methods of `service`, answered by the methods of `implementation` with the same names in snake_case.

    A unary one is `async def retrieve(self, request, call) -> Response`; a server-streaming one is an async generator. Both
    raise domain errors only. A client that goes away cancels them. `longer` names methods whose default is not `seconds`.
    """
    limits = {method.name: seconds for method in service.methods} | dict(longer or {})
    handlers = {}
    for descriptor in service.methods:
        assert not descriptor.client_streaming, f"{descriptor.full_name}: clients do not stream here"
        method = _Method(descriptor, getattr(implementation, snake_case(descriptor.name)), limits[descriptor.name])
        if descriptor.server_streaming:
            handlers[descriptor.name] = grpc.unary_stream_rpc_method_handler(method.stream)
        else:
            handlers[descriptor.name] = grpc.unary_unary_rpc_method_handler(method.unary)
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def snake_case(name: str) -> str:
    """`ReadBlobs` -> `read_blobs`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Method:
    """One method: bytes in, bytes out."""

    def __init__(self, descriptor: MethodDescriptor, behavior: Callable[[Any, Call], Any], seconds: float) -> None:
        self._name = f"{descriptor.containing_service.full_name}/{descriptor.name}"
        self._request = GetMessageClass(descriptor.input_type)
        self._behavior, self._seconds = behavior, seconds
        # Probes come every few seconds: traces of them would bury the others.
        self._tracer = trace.NoOpTracer() if self._name.startswith("grpc.health.") else trace.get_tracer(__name__)

    async def unary(self, body: bytes, context: grpc.aio.ServicerContext) -> bytes | None:
        async def answer(call: Call, place: Place) -> bytes:
            response: Message = await self._behavior(self._decode(body), call)
            return response.SerializeToString()

        return await self._run(context, answer)

    async def stream(self, body: bytes, context: grpc.aio.ServicerContext) -> None:
        async def answer(call: Call, place: Place) -> None:
            responses: AsyncGenerator[Message, None] = self._behavior(self._decode(body), call)
            async with aclosing(responses):
                async for response in responses:
                    await context.write(response.SerializeToString())
                    place.answered()

        await self._run(context, answer)

    def _decode(self, body: bytes) -> Message:
        try:
            return self._request.FromString(body)
        except DecodeError as error:
            raise InvalidRequest(f"not a {self._request.DESCRIPTOR.full_name}", Reason.MALFORMED_REQUEST) from error

    async def _run(self, context: grpc.aio.ServicerContext, answer: Answer[T]) -> T | None:
        entrance, began = ENTRANCE.get(), time.monotonic()
        seconds = min(self._seconds, _remaining(context))
        code, failure, result = grpc.StatusCode.CANCELLED.name, None, None
        try:
            place = await entrance.gate.enter(self._name, f"{entrance.user} {context.peer()}", seconds)
            try:
                result, failure = await self._admitted(context, entrance, place, answer)
            finally:
                place.leave()
            code = _code_name(failure)
        except Unavailable as refusal:
            failure = status_of(refusal)
            code = _code_name(failure)
        except asyncio.CancelledError:  # gRPC cancels a call whose client is gone or whose deadline passed
            if time.monotonic() - began >= seconds:
                code = grpc.StatusCode.DEADLINE_EXCEEDED.name
            raise
        finally:
            entrance.observe(self._name, code, time.monotonic() - began)
        if failure is not None:
            await abort(context, failure)
        return result

    async def _admitted(
        self, context: grpc.aio.ServicerContext, entrance: Entrance, place: Place, answer: Answer[T]
    ) -> tuple[T | None, status_pb2.Status | None]:
        """Answers in a span of its own. What was refused has none: a refusal must cost next to nothing."""
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        seconds = min(self._seconds, _remaining(context))
        code = grpc.StatusCode.CANCELLED.name
        with use_traceparent(metadata.get("traceparent", "")), self._span() as span, ensure_trace() as trace_id:
            try:
                result, failure = await self._attempt(answer, place, Call(entrance.user, seconds, trace_id))
                code = _code_name(failure)
            finally:
                _describe(span, code)
        return result, failure

    async def _attempt(self, answer: Answer[T], place: Place, call: Call) -> tuple[T | None, status_pb2.Status | None]:
        timer = asyncio.timeout(None if math.isinf(call.seconds) else call.seconds)
        try:
            async with timer:
                return await answer(call, place), None
        except NearcodeError as error:
            return None, status_of(error)
        except Exception as error:  # noqa: BLE001 - a bug: logged here, and the caller is told where to find it
            if isinstance(error, TimeoutError) and timer.expired():
                return None, status_of(Unavailable("the deadline passed", Reason.DEADLINE_EXCEEDED))
            _log.exception("a call failed", method=self._name, trace_id=call.trace_id)
            return None, internal(call.trace_id)

    def _span(self) -> AbstractContextManager[trace.Span]:
        return self._tracer.start_as_current_span(
            self._name,
            kind=trace.SpanKind.SERVER,
            attributes=conventions.rpc(self._name),
            record_exception=False,  # its text may quote code
            set_status_on_exception=False,
        )


def _remaining(context: grpc.aio.ServicerContext) -> float:
    remaining: float | None = context.time_remaining()
    return math.inf if remaining is None else remaining


def _code_name(failure: status_pb2.Status | None) -> str:
    name: str = grpc_code(failure).name if failure else grpc.StatusCode.OK.name
    return name


def _describe(span: trace.Span, code: str) -> None:
    span.set_attribute(conventions.RPC_STATUS, code)
    if code != grpc.StatusCode.OK.name:
        span.set_attribute(conventions.ERROR_TYPE, code)
        span.set_status(trace.StatusCode.ERROR)
