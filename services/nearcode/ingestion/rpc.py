"""Ingestion on the wire."""

from collections.abc import AsyncIterator, Sequence

from nearcode.api.ingestion.v1 import ingestion_pb2 as pb
from nearcode.domain.backlog import Backlog
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import Blob, FileStatus, FileVersion, RepositoryStatus
from nearcode.ingestion.service import Ingestion
from nearcode.runtime import wire
from nearcode.runtime.channel import Client
from nearcode.runtime.deadlines import DISCONNECT_SECONDS, SYNC_SECONDS
from nearcode.runtime.server import Call

_SECONDS = 30.0
_DIGEST_SECONDS = 600.0


class IngestionServicer:
    """Server side."""

    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion

    async def connect(self, request: pb.ConnectRequest, call: Call) -> pb.ConnectResponse:
        policy = wire.policy_from_proto(request.policy) if request.HasField("policy") else None
        connected = await self._ingestion.connect(request.url, request.branch, policy)
        return pb.ConnectResponse(repository=wire.repository_to_proto(connected))

    async def list(self, request: pb.ListRequest, call: Call) -> pb.ListResponse:
        repositories = await self._ingestion.list_repositories(request.coverage)
        return pb.ListResponse(repositories=map(wire.repository_to_proto, repositories))

    async def get(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:
        return pb.GetResponse(repository=wire.repository_to_proto(await self._ingestion.get(request.repository)))

    async def sync(self, request: pb.SyncRequest, call: Call) -> pb.SyncResponse:
        return pb.SyncResponse(repository=wire.repository_to_proto(await self._ingestion.sync(request.repository)))

    async def disconnect(self, request: pb.DisconnectRequest, call: Call) -> pb.DisconnectResponse:
        await self._ingestion.disconnect(request.repository)
        return pb.DisconnectResponse()

    async def list_files(self, request: pb.ListFilesRequest, call: Call) -> pb.ListFilesResponse:
        return pb.ListFilesResponse(files=map(wire.file_to_proto, await self._ingestion.list_files(request.repository)))

    async def digest(self, request: pb.DigestRequest, call: Call) -> pb.DigestResponse:
        digests = await self._ingestion.digest(request.repository)
        return pb.DigestResponse(digests=wire.digests_to_proto(digests))

    async def backlog(self, request: pb.BacklogRequest, call: Call) -> pb.BacklogResponse:
        found = await self._ingestion.backlog()
        return pb.BacklogResponse(bulk=found.bulk, small=found.small, fill=found.fill)

    async def read_blobs(self, request: pb.ReadBlobsRequest, call: Call) -> AsyncIterator[pb.ReadBlobsResponse]:
        files = [wire.version_from_proto(file) for file in request.files]
        async for blob in self._ingestion.read(request.repository, files):
            yield pb.ReadBlobsResponse(file=wire.version_to_proto(blob.file), data=blob.data or b"", missing=blob.data is None)


class RemoteIngestion:
    """Client side: the use cases of ingestion, and its bytes (the Blobs port)."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def connect(self, url: str, branch: str = "", policy: IndexPolicy | None = None) -> RepositoryStatus:
        request = pb.ConnectRequest(url=url, branch=branch, policy=wire.policy_to_proto(policy) if policy is not None else None)
        return wire.repository_from_proto((await self._client.unary("Connect", request, seconds=_SECONDS)).repository)

    async def list_repositories(self, coverage: bool = False) -> list[RepositoryStatus]:
        answer = await self._client.unary("List", pb.ListRequest(coverage=coverage), seconds=_SECONDS)
        return [wire.repository_from_proto(repository) for repository in answer.repositories]

    async def get(self, repository: str) -> RepositoryStatus:
        answer = await self._client.unary("Get", pb.GetRequest(repository=repository), seconds=_SECONDS)
        return wire.repository_from_proto(answer.repository)

    async def sync(self, repository: str) -> RepositoryStatus:
        answer = await self._client.unary("Sync", pb.SyncRequest(repository=repository), seconds=SYNC_SECONDS)
        return wire.repository_from_proto(answer.repository)

    async def disconnect(self, repository: str) -> None:
        await self._client.unary("Disconnect", pb.DisconnectRequest(repository=repository), seconds=DISCONNECT_SECONDS)

    async def list_files(self, repository: str) -> list[FileStatus]:
        answer = await self._client.unary("ListFiles", pb.ListFilesRequest(repository=repository), seconds=_SECONDS)
        return [wire.file_from_proto(file) for file in answer.files]

    async def digest(self, repository: str) -> dict[str, str]:
        answer = await self._client.unary("Digest", pb.DigestRequest(repository=repository), seconds=_DIGEST_SECONDS)
        return wire.digests_from_proto(answer.digests)

    async def backlog(self) -> Backlog:
        answer = await self._client.unary("Backlog", pb.BacklogRequest(), seconds=_SECONDS)
        return Backlog(dict(answer.bulk), dict(answer.small), dict(answer.fill))

    async def read(self, repository: str, files: Sequence[FileVersion]) -> AsyncIterator[Blob]:
        request = pb.ReadBlobsRequest(repository=repository, files=map(wire.version_to_proto, files))
        async for answer in self._client.stream("ReadBlobs", request, seconds=_SECONDS):
            yield Blob(wire.version_from_proto(answer.file), None if answer.missing else answer.data)
