"""What a caller may read. Until permissions are mirrored from code hosts: everything that is connected to this engine."""

from collections.abc import Awaitable, Callable, Sequence

from nearcode.domain.principal import Principal
from nearcode.domain.repository import RepositoryStatus

Repositories = Callable[[], Awaitable[Sequence[RepositoryStatus]]]


class OpenAccess:
    """Whoever is authenticated reads every connected repository."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def principal(self, user: str) -> Principal:
        return (await self.readable(user))[0]

    async def readable(self, user: str) -> tuple[Principal, Sequence[RepositoryStatus]]:
        """The principal, and the repositories he may read as they stand now."""
        statuses = await self._repositories()
        return Principal(user, 0, frozenset(status.id for status in statuses)), statuses
