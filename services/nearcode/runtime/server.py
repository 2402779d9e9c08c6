"""A gRPC server: where it listens, who may call, health, reflection, limits and a graceful end."""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2

from nearcode.runtime.admission import Admission
from nearcode.runtime.door import Authenticator, Door, Observe
from nearcode.runtime.gate import Gate
from nearcode.runtime.handler import Call as Call
from nearcode.runtime.handler import rpc_handler as rpc_handler
from nearcode.runtime.health import Health, HealthServicer
from nearcode.runtime.listening import listen

MAX_REQUEST_BYTES = 4 * 2**20
"""gRPC's own default: an open file with its context, or a page of an index batch, several times over."""
MAX_CALLS = 512
"""Calls at once, those that wait and refused ones on their way out included; more are refused with RESOURCE_EXHAUSTED. Each
costs a task and its request in memory. `admission` refuses long before."""
GRACE_SECONDS = 20.0
"""Calls in flight get this long to finish. Kubernetes kills after 30 s."""


class RpcServer:
    """Serves `handlers` on `listen` (`host:port`, port 0 is any free one, or `unix:PATH`) together with health and,
    if wished, reflection. `address` is where clients reach it once it is started. Without `admission` every call is let in.
    `credentials`: speaks TLS, which every place but loopback and Unix sockets needs.

    Does not start or stop `health`, which may be shared by several servers, but drains it when it stops itself.
    """

    def __init__(  # noqa: PLR0913 - what a door is made of
        self,
        listen: str,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        authenticator: Authenticator,
        health: Health,
        reflection: bool = True,
        observe: Observe = lambda method, code, seconds: None,
        admission: Admission | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.address = ""
        self._credentials = credentials
        self._place, self._handlers, self._health, self._reflection = listen, handlers, health, reflection
        self._door = Door(authenticator, observe, Gate(admission))
        self._held = ExitStack()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens and answers. Raises Conflict (ADDRESS_IN_USE) and InvalidRequest (INVALID_SETTING)."""
        server = grpc.aio.server(interceptors=[self._door], options=self._options(), maximum_concurrent_rpcs=MAX_CALLS)
        names = [handler.service_name() for handler in self._handlers]
        servicer = HealthServicer(self._health, names)
        health = health_pb2.DESCRIPTOR.services_by_name["Health"]
        server.add_generic_rpc_handlers([*self._handlers, rpc_handler(health, servicer, longer={"Watch": float("inf")})])
        if self._reflection:
            from grpc_reflection.v1alpha import reflection

            reflection.enable_server_reflection([*names, health.full_name, reflection.SERVICE_NAME], server)
        try:
            self.address = listen(server, self._place, self._held, self._credentials)
            await server.start()
        except BaseException:
            self._held.close()
            raise
        self._server = server

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Says NOT_SERVING, takes no more calls and gives those in flight `grace` seconds."""
        if self._server is None:
            return
        self._health.drain()
        server, self._server = self._server, None
        await server.stop(grace)
        self._held.close()

    async def __aenter__(self) -> "RpcServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.so_reuseport", 0),  # else a second server would share the port without a word
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_metadata_size", 8192),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
        ]
