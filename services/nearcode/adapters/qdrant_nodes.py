"""Calls to a Qdrant server, or to whichever node of a Qdrant cluster answers.

Every call made here may be made twice: points are facts by id, and deletes name what they delete. So a call that a node could
not answer goes to the next one.
"""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message
from opentelemetry import trace
from qdrant_client import grpc as wire

from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.runtime.reconnecting import RECONNECTING
from nearcode.runtime.tls_failures import in_grpcs_words
from nearcode.telemetry import conventions
from nearcode.telemetry.spans import inner

tracer = trace.get_tracer("nearcode.index")

PAUSE = 0.1
"""Seconds between two rounds over all nodes. A cluster elects a new leader within 4 seconds, and writes wait for it."""
READ_ROUNDS = 2
"""A search is tried so often on every node, then given up: its caller has less time than an election takes."""

_DOWN = {
    grpc.StatusCode.UNAVAILABLE: "does not answer",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
    grpc.StatusCode.CANCELLED: "broke off the call",
    grpc.StatusCode.UNAUTHENTICATED: "refuses the API key",
    grpc.StatusCode.PERMISSION_DENIED: "refuses the API key",
    grpc.StatusCode.NOT_FOUND: "has lost the collection; restart to make it again, then index again",
    grpc.StatusCode.INTERNAL: "failed",
    grpc.StatusCode.FAILED_PRECONDITION: "is not ready",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "is overloaded",
}
_FINAL = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
"""What another node would answer, too."""
_CHANNEL = [
    *RECONNECTING,
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
"""Answers of a page of vectors are larger than gRPC's 4 MB."""

_STUBS: Mapping[str, Any] = {
    "Points": wire.PointsStub,
    "Collections": wire.CollectionsStub,
    "Snapshots": wire.SnapshotsStub,
    "Qdrant": wire.QdrantStub,
}


class Node:
    """One server: a channel and the stubs over it."""

    def __init__(self, url: str, grpc_port: int, certificates: bytes | None) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if not parts.hostname or parts.scheme not in ("http", "https"):
            raise InvalidRequest(f"index.url holds {url!r}; write http://HOST:PORT", Reason.INVALID_SETTING, "index.url")
        self.url = url
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        target = f"{host}:{grpc_port}"
        if parts.scheme == "https":
            credentials = grpc.ssl_channel_credentials(root_certificates=certificates)
            self.channel = grpc.aio.secure_channel(target, credentials, options=_CHANNEL)
        else:
            self.channel = grpc.aio.insecure_channel(target, options=_CHANNEL)
        self._stubs = {name: stub(self.channel) for name, stub in _STUBS.items()}

    def method(self, name: str) -> Any:
        """`Service/Method`, ready to be called."""
        service, _, method = name.partition("/")
        return getattr(self._stubs[service], method)


class QdrantNodes:
    """The nodes of a cluster, one gRPC channel each. `url` names one server or, separated by commas, several of a cluster;
    `grpc_port` is the same on all of them. No call takes longer than `seconds`.

    Calls go to the node that answered last; the first one is drawn by lot, so that many processes spread over the nodes.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, grpc_port: int = 6334, seconds: float = 10.0, ca_file: str = ""
    ) -> None:
        certificates = Path(ca_file).read_bytes() if ca_file else None
        urls = [part.strip().rstrip("/") for part in url.split(",") if part.strip()]
        self.nodes = [Node(part, grpc_port, certificates) for part in urls]
        self.url, self.seconds = ", ".join(urls), seconds
        self._metadata = (("api-key", api_key),) if api_key else ()
        self._good = random.randrange(len(self.nodes))

    async def close(self) -> None:
        """Closes the channels."""
        await asyncio.gather(*(node.channel.close() for node in self.nodes))

    async def read(self, method: str, request: Message) -> Any:
        """Asks, of each node at most twice. Raises Unavailable."""
        return await self._ask(method, request, READ_ROUNDS)

    async def write(self, method: str, request: Message) -> Any:
        """Asks until a node answers or the time is over. Raises Unavailable."""
        return await self._ask(method, request, None if len(self.nodes) > 1 else READ_ROUNDS)

    async def ask(self, node: Node, method: str, request: Message, seconds: float | None = None) -> Any:
        """Asks this node and no other, once. Raises Unavailable."""
        operation, collection = method.rpartition("/")[2], getattr(request, "collection_name", "")
        try:
            with inner(tracer, f"{operation} {collection}", conventions.database(operation, collection, _size(request))):
                return await node.method(method)(request, timeout=seconds or self.seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if failure := _failure(node.url, error):
                raise failure from error
            raise

    async def _ask(self, method: str, request: Message, rounds: int | None) -> Any:
        clock = asyncio.get_running_loop().time
        until = clock() + self.seconds
        tried = 0
        while True:
            node, left = self._good, until - clock()
            waiting = len(self.nodes) - tried % len(self.nodes)
            try:
                return await self.ask(self.nodes[node], method, request, max(left / waiting, 0.001))
            except asyncio.CancelledError:
                self._leave(node)  # the caller's time is over: whoever comes next should not wait for the same node
                raise
            except Unavailable as error:
                self._leave(node)
                tried += 1
                over = rounds is not None and tried >= rounds * len(self.nodes)
                if over or clock() + PAUSE >= until or _final(error):
                    raise
            if tried % len(self.nodes) == 0:
                await asyncio.sleep(PAUSE)

    def _leave(self, node: int) -> None:
        if self._good == node:
            self._good = (node + 1) % len(self.nodes)


def _size(request: Message) -> int:
    """How many points or queries a request holds."""
    return len(getattr(request, "query_points", ())) or (len(request.points) if isinstance(request, wire.UpsertPoints) else 0)


def _final(error: Unavailable) -> bool:
    cause = error.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() in _FINAL


def _failure(url: str, error: grpc.aio.AioRpcError) -> Unavailable | None:
    """What a server may answer; None for what we did wrong, which stays a bug."""
    details, code = error.details() or "", error.code()
    if "No space left" in details or "disk" in details.lower():
        return Unavailable(f"The disk of Qdrant at {url} is full. Make room there.", Reason.DISK_FULL, retry_after=30)
    if code not in _DOWN:
        return None
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Unavailable(f"Qdrant at {url} is overloaded.", Reason.OVERLOADED, _retry_after(error))
    if fault := in_grpcs_words(details):
        return Unavailable(f"Qdrant at {url} {fault}.", Reason.CERTIFICATE, retry_after=30)
    said = f" ({details})" if details else ""
    return Unavailable(f"Qdrant at {url} {_DOWN[code]}.{said}", Reason.INDEX_UNAVAILABLE)


def _retry_after(error: grpc.aio.AioRpcError) -> float:
    for key, value in error.trailing_metadata() or ():
        if key == "retry-after":
            with suppress(ValueError):
                return float(value)
    return 1.0
