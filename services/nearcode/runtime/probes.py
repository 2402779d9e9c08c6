"""The door for probes: health alone, over gRPC without TLS, because a kubelet's gRPC probes speak nothing else.

It tells nobody anything but one bit, so it may be open beyond this machine (docs/decisions/tls.md).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from types import TracebackType

import grpc
from grpc_health.v1 import health_pb2

from nearcode.domain.errors import Unauthenticated
from nearcode.runtime.door import Door
from nearcode.runtime.gate import Gate
from nearcode.runtime.handler import Call, rpc_handler
from nearcode.runtime.health import Health, HealthServicer
from nearcode.runtime.listening import listen

READY, ALIVE = "readyz", "livez"
"""The services that probes may ask for; an empty name asks for readiness."""

MAX_CALLS = 32
"""Calls at once: a kubelet has a few, and nobody else has anything to ask here."""
_LARGEST_REQUEST = 1024


class Probes:
    """Answers grpc.health.v1 on `listen` (`host:port`, port 0 is any free one): ready as `health` says, alive while this
    process can answer at all. Starts and stops nothing of `health`. `address` is where it is asked once it is started."""

    def __init__(self, listen: str, health: Health) -> None:
        self.address = ""
        self._place, self._health = listen, health
        self._held = ExitStack()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens and answers. Raises Conflict (ADDRESS_IN_USE) and InvalidRequest (INVALID_SETTING)."""
        door = Door(_Nobody(), lambda method, code, seconds: None, Gate())
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _LARGEST_REQUEST)]
        server = grpc.aio.server(interceptors=[door], options=options, maximum_concurrent_rpcs=MAX_CALLS)
        service = health_pb2.DESCRIPTOR.services_by_name["Health"]
        handler = rpc_handler(service, _ProbesServicer(self._health), longer={"Watch": float("inf")})
        server.add_generic_rpc_handlers([handler])
        self.address = listen(server, self._place, self._held, plaintext=True)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Stops answering."""
        if self._server:
            server, self._server = self._server, None
            await server.stop(0.5)
            self._held.close()

    async def __aenter__(self) -> "Probes":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


class _Nobody:
    """Whoever asks for more than health."""

    async def authenticate(self, metadata: Mapping[str, str]) -> str:
        raise Unauthenticated("nobody is let in here but probes")


class _ProbesServicer:
    """The health of a process for `readyz`, and its life for `livez`."""

    def __init__(self, health: Health) -> None:
        self._ready = HealthServicer(health, (READY,))
        self._alive = HealthServicer(Health(), (ALIVE,))  # without checks, and never drained

    async def check(self, request: health_pb2.HealthCheckRequest, call: Call) -> health_pb2.HealthCheckResponse:
        return await self._of(request).check(request, call)

    async def watch(self, request: health_pb2.HealthCheckRequest, call: Call) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        async for answer in self._of(request).watch(request, call):
            yield answer

    def _of(self, request: health_pb2.HealthCheckRequest) -> HealthServicer:
        return self._alive if request.service == ALIVE else self._ready
