"""The door of a gRPC server: nobody reaches a method before he is known."""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import grpc

from nearcode.domain.errors import NearcodeError
from nearcode.runtime.gate import Gate
from nearcode.runtime.rpc_errors import abort, status_of

OPEN = "/grpc.health.v1.Health/"
"""Probes of Kubernetes carry no credentials."""

Observe = Callable[[str, str, float], None]
"""Told of each call: the full name of its method, the name of its status code, its seconds."""


class Authenticator(Protocol):
    """Tells who is calling."""

    async def authenticate(self, metadata: Mapping[str, str]) -> str:
        """The user that a call's metadata (keys in lower case) proves. Raises Unauthenticated."""
        ...


@dataclass(frozen=True, slots=True)
class Entrance:
    """What the door knows of a call; handlers find it in `ENTRANCE`, which the door sets in the call's own task."""

    user: str
    observe: Observe
    gate: Gate


ENTRANCE: ContextVar[Entrance] = ContextVar("entrance")


class Door(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Authenticates every call but those for health."""

    def __init__(self, authenticator: Authenticator, observe: Observe, gate: Gate) -> None:
        self._authenticator, self._observe, self._gate = authenticator, observe, gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Lets a call in, or answers it with the reason why not before its request is read."""
        handler = await continuation(details)
        if handler is None:  # gRPC answers UNIMPLEMENTED
            return None
        user = ""
        if not details.method.startswith(OPEN):
            metadata = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
            try:
                user = await self._authenticator.authenticate(metadata)
            except NearcodeError as error:
                return _refusal(handler, error)
        ENTRANCE.set(Entrance(user, self._observe, self._gate))
        return handler


def _refusal(handler: grpc.RpcMethodHandler, error: NearcodeError) -> grpc.RpcMethodHandler:
    async def refuse(_request: object, context: grpc.aio.ServicerContext) -> None:
        await abort(context, status_of(error))

    if handler.request_streaming:
        make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    else:
        make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return make(refuse)
