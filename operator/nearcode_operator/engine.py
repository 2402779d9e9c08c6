"""The engine, as the operator sees it: its IngestionService over gRPC."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nearcode.api.ingestion.v1 import ingestion_pb2 as pb
from nearcode.domain.backlog import Backlog
from nearcode.domain.errors import NearcodeError, NotFound
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import RepositoryStatus
from nearcode.runtime import wire
from nearcode.runtime.deadlines import DISCONNECT_SECONDS, SYNC_SECONDS

from nearcode_operator.model import Engine

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from nearcode.runtime.channel import Client

_SECONDS = 30.0

Observe = Callable[[str, str], None]
"""Told the method of each call, and how it ended: `ok` or the reason."""


class RemoteEngine:
    """The EngineApi over gRPC. Raises the domain errors that ingestion raised, and Unavailable when it does not answer."""

    def __init__(self, client: "Client", observe: Observe = lambda method, result: None) -> None:
        self._client, self._told = client, observe

    async def observe(self) -> Engine:
        """All repositories with their coverage, and what waits."""
        listed = await self._call("List", pb.ListRequest(coverage=True))
        backlog = await self._call("Backlog", pb.BacklogRequest())
        repositories = map(wire.repository_from_proto, listed.repositories)
        queues = Backlog(dict(backlog.bulk), dict(backlog.small), dict(backlog.fill))
        return Engine({repository.id: repository for repository in repositories}, queues)

    async def connect(self, url: str, branch: str, policy: IndexPolicy) -> RepositoryStatus:
        """Follows a branch, or changes its policy."""
        request = pb.ConnectRequest(url=url, branch=branch, policy=wire.policy_to_proto(policy))
        answer = await self._call("Connect", request)
        return wire.repository_from_proto(answer.repository)

    async def sync(self, repository: str) -> RepositoryStatus:
        """Fetches, and wants the head."""
        answer = await self._call("Sync", pb.SyncRequest(repository=repository), SYNC_SECONDS)
        return wire.repository_from_proto(answer.repository)

    async def disconnect(self, repository: str) -> None:
        """Deletes everything of a repository. One that is not there is no error."""
        try:
            await self._call("Disconnect", pb.DisconnectRequest(repository=repository), DISCONNECT_SECONDS)
        except NotFound:
            return

    async def healthy(self) -> bool:
        """Whether the engine answers."""
        await self._call("Backlog", pb.BacklogRequest())
        return True

    async def _call(self, method: str, request: "Message", seconds: float = _SECONDS):  # type: ignore[no-untyped-def]
        try:
            answer = await self._client.unary(method, request, seconds=seconds)
        except NearcodeError as error:
            self._told(method, error.reason.value)
            raise
        self._told(method, "ok")
        return answer
