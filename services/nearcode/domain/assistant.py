"""What an IDE, an agent or a person at a terminal can ask."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nearcode.domain.budget import StageReport
from nearcode.domain.completion import Message
from nearcode.domain.repository import FileStatus, RepositoryStatus, Workspace
from nearcode.domain.retrieval import CodeCursor, Query, Snippet


@dataclass(frozen=True, slots=True)
class Sources:
    """The snippets that an answer is made from, sent before its text."""

    snippets: tuple[Snippet, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Closes an answer: which plan answered and why not a better one, which model, where the time went.

    `probability` says how likely the retrieved code holds anything useful; not `useful` means "no useful context".
    """

    id: str
    plan: str
    degraded: str = ""
    model: str = ""
    untrusted: bool = False
    stages: tuple[StageReport, ...] = ()
    trace_id: str = ""
    finish_reason: str = ""
    probability: float = 0.0
    useful: bool = True


Part = Sources | str | Report


@dataclass(frozen=True, slots=True)
class Found:
    """Ranked snippets, for Explain with the losers and what the probability was computed from."""

    snippets: tuple[Snippet, ...]
    report: Report
    losers: tuple[Snippet, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)


class Assistant(Protocol):
    """The use cases of the gateway. `user` is authenticated; `seconds` is the call's deadline.

    All raise InvalidRequest, NotFound (no such repository, or none the user may read) and Unavailable.
    """

    def complete(
        self, user: str, workspace: Workspace, cursor: CodeCursor, max_tokens: int, limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]: ...

    def chat(
        self, user: str, workspaces: Sequence[Workspace], messages: Sequence[Message], limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]: ...

    async def search(
        self,
        user: str,
        workspaces: Sequence[Workspace],
        query: str,
        limit: int,
        min_score: float,
        seconds: float,
        everything: bool = False,
    ) -> Found: ...

    async def context(
        self, user: str, workspace: Workspace, cursor: CodeCursor, limit: int, tokens: int, seconds: float
    ) -> Found: ...

    async def explain(self, user: str, workspaces: Sequence[Workspace], query: Query, seconds: float) -> Found:
        """Why the query's answer is what it is. A cursor's path is relative to the first workspace."""
        ...

    async def report_outcome(self, user: str, completion: str, outcome: str) -> None: ...


class Repositories(Protocol):
    """Connected repositories and their state, as far as `user` may see them. Raise NotFound, InvalidRequest, Unavailable."""

    async def connect(self, user: str, url: str, branch: str = "") -> RepositoryStatus: ...

    async def list_repositories(self, user: str) -> list[RepositoryStatus]: ...

    async def get(self, user: str, repository: str) -> RepositoryStatus: ...

    async def sync(self, user: str, repository: str) -> RepositoryStatus: ...

    async def disconnect(self, user: str, repository: str) -> None: ...

    async def list_files(self, user: str, repository: str) -> list[FileStatus]: ...

    async def digest(self, user: str, repository: str) -> dict[str, str]:
        """The digest of what is stored, per index space."""
        ...
