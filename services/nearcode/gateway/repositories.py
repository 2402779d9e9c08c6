"""Repositories as a caller sees them: those he may read, served by ingestion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from nearcode.api.repositories.v1 import repositories_pb2 as pb
from nearcode.domain.assistant import Repositories
from nearcode.domain.errors import InvalidRequest, NotFound, PermissionDenied
from nearcode.domain.principal import Access
from nearcode.domain.repository import FileStatus, RepositoryStatus
from nearcode.runtime import wire
from nearcode.runtime.deadlines import DISCONNECT_SECONDS, SYNC_SECONDS

if TYPE_CHECKING:  # a process that serves nobody and asks nobody need not load gRPC
    from nearcode.runtime.channel import Client
    from nearcode.runtime.server import Call

_SECONDS = 60.0
_DIGEST_SECONDS = 600.0
_PAGE = 10_000


class Ingester(Protocol):
    """The use cases of ingestion that the gateway hands on."""

    async def connect(self, url: str, branch: str = "") -> RepositoryStatus: ...

    async def list_repositories(self) -> list[RepositoryStatus]: ...

    async def get(self, repository: str) -> RepositoryStatus: ...

    async def sync(self, repository: str) -> RepositoryStatus: ...

    async def disconnect(self, repository: str) -> None: ...

    async def list_files(self, repository: str) -> list[FileStatus]: ...

    async def digest(self, repository: str) -> dict[str, str]: ...


class ReadableRepositories:
    """Implements domain.assistant.Repositories: every call is first held against what the user may read. Without `connect`,
    others decide which repositories there are."""

    def __init__(self, ingester: Ingester, access: Access, *, connect: bool = True) -> None:
        self._ingester, self._access, self._connect = ingester, access, connect

    async def connect(self, user: str, url: str, branch: str = "") -> RepositoryStatus:
        self._check_connect()
        return await self._ingester.connect(url, branch)

    async def list_repositories(self, user: str) -> list[RepositoryStatus]:
        readable = (await self._access.principal(user)).repositories
        return [status for status in await self._ingester.list_repositories() if status.id in readable]

    async def get(self, user: str, repository: str) -> RepositoryStatus:
        await self._check(user, repository)
        return await self._ingester.get(repository)

    async def sync(self, user: str, repository: str) -> RepositoryStatus:
        await self._check(user, repository)
        return await self._ingester.sync(repository)

    async def disconnect(self, user: str, repository: str) -> None:
        self._check_connect()
        await self._check(user, repository)
        await self._ingester.disconnect(repository)

    async def list_files(self, user: str, repository: str) -> list[FileStatus]:
        await self._check(user, repository)
        return await self._ingester.list_files(repository)

    async def digest(self, user: str, repository: str) -> dict[str, str]:
        await self._check(user, repository)
        return await self._ingester.digest(repository)

    def _check_connect(self) -> None:
        if not self._connect:
            message = "repositories of this installation are Repository resources: use kubectl apply and kubectl delete"
            raise PermissionDenied(message)

    async def _check(self, user: str, repository: str) -> None:
        """Forbidden and nonexistent answer alike."""
        if repository not in (await self._access.principal(user)).repositories:
            raise NotFound("no such repository, or none that you may read")


class RepositoriesServicer:
    """Server side."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def connect(self, request: pb.ConnectRequest, call: "Call") -> pb.ConnectResponse:
        status = await self._repositories.connect(call.user, request.url, request.branch)
        return pb.ConnectResponse(repository=wire.repository_to_proto(status))

    async def list(self, request: pb.ListRequest, call: "Call") -> pb.ListResponse:
        statuses = await self._repositories.list_repositories(call.user)
        return pb.ListResponse(repositories=map(wire.repository_to_proto, statuses))

    async def get(self, request: pb.GetRequest, call: "Call") -> pb.GetResponse:
        status = await self._repositories.get(call.user, request.repository)
        return pb.GetResponse(repository=wire.repository_to_proto(status))

    async def sync(self, request: pb.SyncRequest, call: "Call") -> pb.SyncResponse:
        status = await self._repositories.sync(call.user, request.repository)
        return pb.SyncResponse(repository=wire.repository_to_proto(status))

    async def disconnect(self, request: pb.DisconnectRequest, call: "Call") -> pb.DisconnectResponse:
        await self._repositories.disconnect(call.user, request.repository)
        return pb.DisconnectResponse()

    async def list_files(self, request: pb.ListFilesRequest, call: "Call") -> pb.ListFilesResponse:
        files = await self._repositories.list_files(call.user, request.repository)
        page, following = _page(files, request.page_size, request.page_token)
        return pb.ListFilesResponse(files=map(wire.file_to_proto, page), next_page_token=following)

    async def digest(self, request: pb.DigestRequest, call: "Call") -> pb.DigestResponse:
        digests = await self._repositories.digest(call.user, request.repository)
        return pb.DigestResponse(digests=wire.digests_to_proto(digests))


class RemoteRepositories:
    """Client side. Who asks is what the connection says, so `user` is not sent."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def connect(self, user: str, url: str, branch: str = "") -> RepositoryStatus:
        answer = await self._client.unary("Connect", pb.ConnectRequest(url=url, branch=branch), seconds=_SECONDS)
        return wire.repository_from_proto(answer.repository)

    async def list_repositories(self, user: str) -> list[RepositoryStatus]:
        answer = await self._client.unary("List", pb.ListRequest(), seconds=_SECONDS)
        return [wire.repository_from_proto(repository) for repository in answer.repositories]

    async def get(self, user: str, repository: str) -> RepositoryStatus:
        answer = await self._client.unary("Get", pb.GetRequest(repository=repository), seconds=_SECONDS)
        return wire.repository_from_proto(answer.repository)

    async def sync(self, user: str, repository: str) -> RepositoryStatus:
        answer = await self._client.unary("Sync", pb.SyncRequest(repository=repository), seconds=SYNC_SECONDS)
        return wire.repository_from_proto(answer.repository)

    async def disconnect(self, user: str, repository: str) -> None:
        await self._client.unary("Disconnect", pb.DisconnectRequest(repository=repository), seconds=DISCONNECT_SECONDS)

    async def list_files(self, user: str, repository: str) -> list[FileStatus]:
        files: list[FileStatus] = []
        token = ""
        while True:
            request = pb.ListFilesRequest(repository=repository, page_size=_PAGE, page_token=token)
            answer = await self._client.unary("ListFiles", request, seconds=_SECONDS)
            files.extend(map(wire.file_from_proto, answer.files))
            token = answer.next_page_token
            if not token:
                return files

    async def digest(self, user: str, repository: str) -> dict[str, str]:
        answer = await self._client.unary("Digest", pb.DigestRequest(repository=repository), seconds=_DIGEST_SECONDS)
        return wire.digests_from_proto(answer.digests)


def _page(files: Sequence[FileStatus], size: int, token: str) -> tuple[Sequence[FileStatus], str]:
    """One page of a list ordered by path, and the token of the next; a token is the last path of the page before."""
    if size < 0:
        raise InvalidRequest("page_size is 0 or more", field="page_size")
    rest = [file for file in files if file.path > token] if token else files
    page = rest[: min(size or _PAGE, _PAGE)]
    return page, page[-1].path if len(page) < len(rest) else ""
