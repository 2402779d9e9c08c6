"""Vectors remembered on disk: an SQLite file bounded in bytes, the least recently used leave first.

It is only a cache: nothing is synced, a file that is damaged is set aside, a full disk turns it off. Vectors carry a checksum,
so a hit has the bytes that were put.
"""

import asyncio
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from nearcode.telemetry.log import get_logger

_VERSION = 1
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA journal_size_limit = {16 * 2**20};
CREATE TABLE IF NOT EXISTS entries (
    key BLOB PRIMARY KEY, id INTEGER NOT NULL, used INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
PRAGMA user_version = {_VERSION};
"""
_ENTRY_BYTES = 100
"""What an entry takes besides its vectors, about."""
_KEPT = 0.9
"""Share of the limit that eviction goes down to, so that it is rare."""
_AT_ONCE = 500
"""Keys in one statement; SQLite takes 32,766."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR}

T = TypeVar("T")
_log = get_logger(__name__)


class VectorCache:
    """Bytes by key in the file `path`, at most `limit` bytes of them; 0 keeps none. Works in a thread of its own."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self._thread = ThreadPoolExecutor(1, "vector-cache")
        self._database: sqlite3.Connection | None = None
        self._off = limit <= 0
        self._size = self._turn = 0

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is remembered of `keys`."""
        return await self._run(lambda database: self._get(database, keys)) or {}

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Remembers, in one transaction."""
        await self._run(lambda database: self._put(database, entries))

    async def close(self) -> None:
        """Waits for what is under way and closes the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
        self._off = True

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        if self._off:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._attempt, work)

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        for _ in range(2):
            try:
                database = self._database or self._open()
                with database:
                    return work(database)
            except (sqlite3.Error, OSError) as error:
                self._close()
                if not self._recover(error):
                    return None
        return None

    def _recover(self, error: Exception) -> bool:
        """Whether to try once more: a damaged file was set aside. For anything else the cache is off until the next start."""
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            aside = self._path.with_name(self._path.name + ".damaged")
            try:
                self._path.replace(aside)
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            except OSError as refused:
                error = refused
            else:
                _log.warning("the vector cache is damaged and begins anew", set_aside=str(aside), error=str(error))
                return True
        self._off = True
        _log.warning("vectors are not cached until the next start", path=str(self._path), error=str(error))
        return False

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise _other_version(version)
            database.executescript(_SCHEMA)
            row = database.execute("SELECT coalesce(sum(size), 0), coalesce(max(used), 0) FROM entries").fetchone()
        except sqlite3.Error:
            database.close()
            raise
        self._size, self._turn = row
        self._database = database
        return database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _get(self, database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        self._turn += 1
        for some in _slices(list(dict.fromkeys(keys))):
            marks = ",".join("?" * len(some))
            rows = database.execute(
                f"SELECT key, crc, data FROM entries JOIN vectors USING (id) WHERE key IN ({marks})", some
            ).fetchall()
            hits = {key: data for key, crc, data in rows if zlib.crc32(data) == crc}
            if hits:
                used = ",".join("?" * len(hits))
                database.execute(f"UPDATE entries SET used = ? WHERE key IN ({used})", (self._turn, *hits))
            found |= hits
        return found

    def _put(self, database: sqlite3.Connection, entries: Mapping[bytes, bytes]) -> None:
        self._turn += 1
        for some in _slices(list(entries)):
            self._forget(database, some)
        for key, data in entries.items():
            size = len(data) + _ENTRY_BYTES
            stored = database.execute("INSERT INTO vectors (data) VALUES (?)", (data,)).lastrowid
            database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (key, stored, self._turn, size, zlib.crc32(data)))
            self._size += size
        if self._size > self._limit:
            self._evict(database)

    def _evict(self, database: sqlite3.Connection) -> None:
        kept, out = self._size, []
        for key, size in database.execute("SELECT key, size FROM entries ORDER BY used"):
            if kept <= self._limit * _KEPT:
                break
            kept -= size
            out.append(key)
        for some in _slices(out):
            self._forget(database, some)

    def _forget(self, database: sqlite3.Connection, keys: Sequence[bytes]) -> None:
        marks = ",".join("?" * len(keys))
        database.execute(f"DELETE FROM vectors WHERE id IN (SELECT id FROM entries WHERE key IN ({marks}))", keys)
        gone = database.execute(f"DELETE FROM entries WHERE key IN ({marks}) RETURNING size", keys).fetchall()
        self._size -= sum(size for (size,) in gone)


def _slices(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for at in range(0, len(keys), _AT_ONCE):
        yield keys[at : at + _AT_ONCE]


def _other_version(version: int) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(f"its format is {version}, ours is {_VERSION}")
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error
