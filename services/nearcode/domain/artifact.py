"""A revision's artifact: what became of each of its files, in one SQLite database.

While a revision is built its draft holds `pending` files; a finished artifact holds none.
"""

import json
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.graph import GraphFacts, Project
from nearcode.domain.repository import FileState, FileStatus, FileVersion

_PROJECTS = "CREATE TABLE projects (kind TEXT NOT NULL, folder TEXT NOT NULL, name TEXT NOT NULL, aliases TEXT NOT NULL);"
_SCHEMA = f"""{_PROJECTS}
CREATE TABLE meta (repository TEXT, branch TEXT, generation INTEGER, revision TEXT);
CREATE TABLE files (
    path TEXT PRIMARY KEY, blob TEXT NOT NULL, size INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    chunks INTEGER NOT NULL, terms BLOB NOT NULL, links BLOB NOT NULL
) WITHOUT ROWID;
"""
_UPGRADE = f"{_PROJECTS} ALTER TABLE files ADD COLUMN links BLOB NOT NULL DEFAULT x'';"
_PENDING = "pending"
_ROW = "path, blob, size, state, reason, chunks, terms, links"


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of a pending file. `terms`: distinct term ids, sorted, uint32 little endian; `links`: see domain/graph.py."""

    file: FileVersion
    state: FileState
    reason: str
    chunks: int
    terms: bytes
    links: bytes = b""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a commit, or of a folder as it is now: those to index, and the others with their reasons; and what project
    files say, ordered by folder and kind."""

    commit: str
    files: tuple[FileVersion, ...]
    others: tuple[FileStatus, ...]
    projects: tuple[Project, ...] = ()


class Artifact:
    """Holds the database in memory; `dump` and `load` carry it. Not for several threads at once."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    def plan(cls, repository: str, branch: str, generation: int, snapshot: Snapshot, served: "Artifact | None") -> "Artifact":
        """The draft of a revision: file versions that the served one holds are taken over, the others are pending. Without a
        served one, as where another recipe made it, all are."""
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO meta VALUES (?, ?, ?, ?)", (repository, branch, generation, snapshot.commit))
        projects = [(each.kind, each.folder, each.name, json.dumps(dict(each.aliases))) for each in snapshot.projects]
        database.executemany("INSERT INTO projects VALUES (?, ?, ?, ?)", projects)
        known = served._rows() if served else {}
        rows = [_taken_over(known.get(file.path), file) for file in snapshot.files]
        rows += [(other.path, other.blob, 0, other.state.value, other.reason, 0, b"", b"") for other in snapshot.others]
        database.executemany(f"INSERT INTO files ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return cls(database)

    @classmethod
    def load(cls, data: bytes) -> "Artifact":
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.deserialize(data)
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'projects'").fetchone():
            database.executescript(_UPGRADE)  # an earlier version made it
        return cls(database)

    def dump(self) -> bytes:
        self._database.commit()
        return self._database.serialize()

    @property
    def commit(self) -> str:
        (commit,) = self._database.execute("SELECT revision FROM meta").fetchone()
        return str(commit)

    def pending(self) -> list[FileVersion]:
        """File versions that are still to be indexed, ordered by path."""
        rows = self._database.execute("SELECT path, blob, size FROM files WHERE state = ? ORDER BY path", (_PENDING,))
        return [FileVersion(*row) for row in rows]

    def apply(self, outcomes: Iterable[FileOutcome]) -> None:
        """Records what became of pending files. A file that was split over several outcomes adds up."""
        self._database.executemany(
            "UPDATE files SET state = ?, reason = ?, chunks = chunks + ?, terms = CAST(terms || ? AS BLOB),"
            " links = CAST(links || ? AS BLOB) WHERE path = ? AND blob = ?",  # || alone makes text of blobs
            ((one.state.value, one.reason, one.chunks, one.terms, one.links, one.file.path, one.file.blob) for one in outcomes),
        )

    def files(self) -> list[FileStatus]:
        """Every file with its state, ordered by path."""
        rows = self._database.execute(
            "SELECT path, blob, state, reason, chunks FROM files WHERE state != ? ORDER BY path", (_PENDING,)
        )
        return [FileStatus(path, blob, FileState(state), reason, chunks) for path, blob, state, reason, chunks in rows]

    def indexed(self) -> dict[str, str]:
        """Path to blob of indexed files."""
        return dict(self._database.execute("SELECT path, blob FROM files WHERE state = 'indexed'"))

    def indexed_versions(self) -> list[FileVersion]:
        """The indexed files, ordered by path."""
        rows = self._database.execute("SELECT path, blob, size FROM files WHERE state = 'indexed' ORDER BY path")
        return [FileVersion(*row) for row in rows]

    def versions(self) -> dict[str, str]:
        """Path to blob of every file that has, or may have, points."""
        return dict(self._database.execute("SELECT path, blob FROM files WHERE state IN ('indexed', ?)", (_PENDING,)))

    def totals(self) -> tuple[int, int]:
        """Indexed files, and their chunks."""
        files, chunks = self._database.execute(
            "SELECT count(*), coalesce(sum(chunks), 0) FROM files WHERE state = 'indexed'"
        ).fetchone()
        return int(files), int(chunks)

    def failed(self) -> int:
        """Files that should be indexed and are not."""
        (failed,) = self._database.execute("SELECT count(*) FROM files WHERE state = ?", (FileState.FAILED.value,)).fetchone()
        return int(failed)

    def term_counts(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Sorted term ids, and in how many indexed files each occurs."""
        rows = self._database.execute("SELECT terms FROM files WHERE state = 'indexed'")
        terms = np.frombuffer(b"".join(row[0] for row in rows), dtype="<u4")
        return np.unique(terms, return_counts=True)

    def graph_facts(self) -> GraphFacts:
        """What the indexed files and the project files say of each other."""
        rows = self._database.execute("SELECT path, links, terms FROM files WHERE state = 'indexed' ORDER BY path").fetchall()
        projects = self._database.execute("SELECT kind, folder, name, aliases FROM projects ORDER BY folder, kind")
        return GraphFacts(
            {path: links for path, links, _ in rows},
            {path: terms for path, _, terms in rows},
            tuple(_project(*row) for row in projects),
        )

    def _rows(self) -> dict[str, tuple[object, ...]]:
        return {row[0]: row for row in self._database.execute(f"SELECT {_ROW} FROM files")}


def _taken_over(row: tuple[object, ...] | None, file: FileVersion) -> tuple[object, ...]:
    if row and row[1] == file.blob and row[3] in (FileState.INDEXED, FileState.SKIPPED) and row[3] != _PENDING:
        return row
    return (file.path, file.blob, file.size, _PENDING, "", 0, b"", b"")


def _project(kind: str, folder: str, name: str, aliases: str) -> Project:
    return Project(kind, folder, name, {key: tuple(paths) for key, paths in json.loads(aliases).items()})


class ArtifactRevision:
    """A finished artifact as retrieval needs it: everything looked up in memory."""

    def __init__(self, repository: str, branch: str, generation: int, artifact: Artifact, oldest: int = 0) -> None:
        self.repository, self.branch, self.generation, self.commit = repository, branch, generation, artifact.commit
        self.oldest = oldest
        self._blobs = artifact.indexed()
        self._paths = tuple(self._blobs)
        terms, counts = artifact.term_counts()
        self._terms, self._counts = array("I", terms.tobytes()), array("q", counts.tobytes())  # a look costs a fifth of numpy's
        self._facts = artifact.graph_facts()

    def blob(self, path: str) -> str | None:
        return self._blobs.get(path)

    def term_files(self, term: int) -> int:
        at = bisect_left(self._terms, term)
        return self._counts[at] if at < len(self._terms) and self._terms[at] == term else 0

    def file_count(self) -> int:
        return len(self._blobs)

    def paths(self) -> Sequence[str]:
        return self._paths

    def graph_facts(self) -> GraphFacts:
        return self._facts


def parts(files: Sequence[FileVersion], most_files: int, most_bytes: int) -> Iterator[list[FileVersion]]:
    """Cuts a list of files into parts of at most so many files and, but for a single larger file, so many bytes."""
    part: list[FileVersion] = []
    size = 0
    for file in files:
        if part and (len(part) >= most_files or size + file.size > most_bytes):
            yield part
            part, size = [], 0
        part.append(file)
        size += file.size
    if part:
        yield part
