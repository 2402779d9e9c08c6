"""Repositories, file versions and what became of each file."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nearcode.domain.graph import GraphFacts
from nearcode.domain.policy import EVERYTHING, IndexPolicy
from nearcode.domain.spaces import Coverage

CHANGED_MEANWHILE = "changed while it was indexed"
"""Reason of a file whose bytes were gone when they were needed; ingestion looks at its folder once more."""


class FileState(StrEnum):
    """What became of a file."""

    INDEXED = "indexed"
    SKIPPED = "skipped"
    FAILED = "failed"


class RepositoryState(StrEnum):
    """Where a repository stands."""

    CONNECTED = "connected"
    INDEXING = "indexing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileVersion:
    """The unit of indexing: one content at one path. `blob` is the git blob id in hex, `size` is in bytes."""

    path: str
    blob: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class FileStatus:
    """A file's state, with a reason for every state but INDEXED."""

    path: str
    blob: str
    state: FileState
    reason: str = ""
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the revision that is being built has come."""

    files_done: int = 0
    files_total: int = 0
    chunks_done: int = 0


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """What a person wants to know of a repository. `seconds`: from wanted until searchable, of the served revision."""

    id: str
    url: str
    name: str
    branch: str
    state: RepositoryState
    generation: int = 0
    revision: str = ""
    wanted: str = ""
    files: int = 0
    chunks: int = 0
    seconds: float = 0.0
    error: str = ""
    progress: Progress = Progress()
    behind_since: float = 0.0
    """Unix time since which the index lacks what was wanted; 0 when nothing is missing."""
    coverage: tuple[Coverage, ...] = ()
    """Of the collections that are filled behind."""
    files_failed: int = 0
    """Files of `revision` that should be in the index and are not."""
    policy: IndexPolicy = EVERYTHING

    @property
    def anew(self) -> bool:
        """Whether the served commit is being indexed once more, as after an upgrade or under another policy."""
        return self.state is RepositoryState.INDEXING and bool(self.revision) and self.revision == self.wanted


@dataclass(frozen=True, slots=True)
class Workspace:
    """What a developer has open: remote or file:// URLs, the commit it stands on and a path inside the repository."""

    remotes: tuple[str, ...]
    head: str = ""
    relative_path: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of a file version; `data` is None when they are gone, because the file changed since it was listed."""

    file: FileVersion
    data: bytes | None


class Blobs(Protocol):
    """Reads the bytes of file versions, in the order asked."""

    def read(self, repository: str, files: Sequence[FileVersion]) -> AsyncIterator[Blob]: ...


class Revisions(Protocol):
    """The revisions that are served now, as the retrieval re-check and its word weights need them."""

    async def current(self, repository: str) -> "Revision | None": ...


class Revision(Protocol):
    """A branch at a commit: an immutable map of paths to blobs. Its points were written by generations `oldest` to
    `generation`; others are of another recipe (see domain/manifest.py)."""

    repository: str
    branch: str
    generation: int
    oldest: int
    commit: str

    def blob(self, path: str) -> str | None:
        """The blob that this revision holds at `path`, if the file is indexed."""
        ...

    def term_files(self, term: int) -> int:
        """How many of the revision's files hold this term (see domain/terms.py)."""
        ...

    def file_count(self) -> int:
        """Indexed files."""
        ...

    def paths(self) -> Sequence[str]:
        """Paths of indexed files."""
        ...

    def graph_facts(self) -> GraphFacts:
        """What its files say of each other."""
        ...


def blob_id(data: bytes) -> str:
    """The id that git gives to these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def repository_id(url: str, branch: str = "") -> str:
    """An opaque token for a repository: the same URL gives the same id on every machine, and it may be a subject token."""
    return "r" + hashlib.sha256(f"{url}\0{branch}".encode()).hexdigest()[:20]
