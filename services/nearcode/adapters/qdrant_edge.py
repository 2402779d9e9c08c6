"""The chunk index embedded: a Qdrant shard in a process of its own, so that nothing holds the event loop.

Search compares all vectors in scope, compressed, and the best again as they are: no HNSW, which would take 16 s of CPU for
40,000 points, hold the shard meanwhile and come again as files change (docs/decisions/embedded-index.md).
"""

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any

from opentelemetry import trace

from nearcode.adapters import qdrant_edge_layout as layout
from nearcode.adapters import qdrant_layout
from nearcode.adapters.qdrant_edge_wire import Answer, Batch, Lane, Page
from nearcode.domain.errors import Conflict, NearcodeError, Reason, Unavailable
from nearcode.domain.index import DefinitionQuery, DenseQuery, Hit, IndexSpace, LaneQuery, Point, StoredPoint, may_find
from nearcode.domain.principal import Scope
from nearcode.runtime.child import Worker, WorkerDied, WorkerFailed
from nearcode.telemetry import conventions
from nearcode.telemetry.spans import inner

UPSERT_BATCH = 512
"""Points in one write, about 35 ms: a search waits for no more than that."""
RETIRE_BATCH = 500
"""Paths in one retirement."""
SCAN_PAGE = 512
AHEAD = 2
"""Requests that lie before the child: it goes on with a question's second lane while the first one's answer is read."""
RESERVE = 256 << 20
"""Free bytes below which nothing is written: the store grows by mapped files of 32 MB."""
FLUSH_AFTER = 2.0
"""Seconds without a write until the log goes into the segments."""
VACUUM_AFTER = 30.0
"""Further seconds without a write until deleted points may be cleared away (2 s for 40,000 points, once a fifth is gone)."""

_MODULE = "nearcode.adapters.qdrant_edge_worker"
_log = logging.getLogger(__name__)
tracer = trace.get_tracer("nearcode.index")


class EdgeChunkIndex:
    """Implements `ChunkIndex` in `folder`, which one process at a time may open.

    `log` receives what the child writes. No caller waits longer than `seconds`; a child that needs `kill_after` seconds for
    one request is killed. The next call starts it again.
    """

    def __init__(
        self,
        space: IndexSpace,
        folder: Path,
        log: Path | None = None,
        *,
        seconds: float = 10.0,
        kill_after: float = 60.0,
        reserve: int = RESERVE,
    ) -> None:
        self.space, self.identity = space, ""
        self._folder, self._seconds, self._kill_after = folder, seconds, kill_after
        arguments = (str(folder), json.dumps(layout.fingerprint(space)), str(reserve))
        self._worker = Worker(_MODULE, arguments, log, AHEAD)
        self._turn = asyncio.Semaphore(AHEAD)
        self._running: set[asyncio.Task[Any]] = set()
        self._resting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._worker.pid

    async def open(self) -> None:
        """Starts the child, opens the shard and learns its identity. Raises Unavailable, and Conflict when the shard was made
        for another model or by another version."""
        self.identity = str(await self._call("identity"))

    async def close(self) -> None:
        """Ends the child in good order, and this object with it."""
        if self._resting:
            self._resting.cancel()
        await self._worker.close()

    async def upsert(self, points: Sequence[Point]) -> None:
        """See `ChunkIndex`. A kill of any process after it returned loses nothing; a power cut may lose the last seconds."""
        for start in range(0, len(points), UPSERT_BATCH):
            await self._write("upsert", _batch(points[start : start + UPSERT_BATCH], self.space))

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        """See `ChunkIndex`."""
        asked = {index: query for index, query in enumerate(queries) if may_find(scope, query)}
        lanes = {index: lane for index, query in asked.items() if (lane := _lane(query))}
        if not scope.repositories or not lanes:
            return [[] for _ in queries]
        answer: Answer = await self._call("search", sorted(scope.repositories), list(lanes.values()))
        stored = [layout.unpack(point) for point in answer.points]
        found = {
            index: [_hit(stored[at], score) for at, score in lane] for index, lane in zip(lanes, answer.lanes, strict=True)
        }
        return [found.get(index, []) for index in range(len(queries))]

    async def retire(self, repository: str, keep: Mapping[str, str | None], before: int) -> None:
        """See `ChunkIndex`."""
        paths = list(keep)
        for start in range(0, len(paths), RETIRE_BATCH):
            batch = {path: keep[path] for path in paths[start : start + RETIRE_BATCH]}
            await self._write("retire", repository, batch, before)

    async def drop(self, repository: str) -> None:
        """See `ChunkIndex`."""
        await self._write("drop", repository)

    async def scan(self, repository: str) -> AsyncIterator[StoredPoint]:
        """See `ChunkIndex`. Read page by page, so that searches come in between."""
        following: str | None = None
        width = self.space.profile.dimensions * 4
        while True:
            page: Page = await self._call("scan", repository, following, SCAN_PAGE)
            for row, point in enumerate(page.points):
                read = layout.unpack(point)
                yield StoredPoint(read.id, qdrant_layout.describe(read.chunk), page.vectors[row * width : (row + 1) * width])
            following = page.following
            if following is None:
                return

    async def vacuum(self) -> bool:
        """Clears deleted points away, if they are a fifth of a segment; says whether it did. Happens by itself when nobody
        writes for a while. Nobody is answered meanwhile."""
        return bool(await self._call("vacuum"))

    async def publish_alias(self) -> None:
        """See `ChunkIndex`: nobody but this process looks into an embedded store, which gives no names."""

    async def healthy(self) -> bool:
        """See `ChunkIndex`: whether the child answers within two seconds."""
        try:
            async with asyncio.timeout(2):
                await self._call("count")
        except (TimeoutError, NearcodeError):
            return False
        return True

    async def _write(self, method: str, *arguments: Any) -> None:
        await self._call(method, *arguments)
        if self._resting:
            self._resting.cancel()
        self._resting = asyncio.create_task(self._rest(), context=Context())  # upkeep is no part of the writer's trace

    async def _rest(self) -> None:
        """What is better done when nobody writes."""
        try:
            await asyncio.sleep(FLUSH_AFTER)
            await self._call("flush")
            await asyncio.sleep(VACUUM_AFTER)
            await self.vacuum()
        except NearcodeError as error:
            _log.warning("upkeep of %s: %s", self._folder, error)

    async def _call(self, method: str, *arguments: Any) -> Any:
        """One request to the child. A caller that gives up leaves the child alone: killing it would cost the others more."""
        try:
            with inner(tracer, f"{method} {self.space.name}", conventions.database(method, self.space.name)):
                async with asyncio.timeout(self._seconds):
                    await self._turn.acquire()
                    task = asyncio.create_task(self._exchange((method, *arguments)))
                    self._running.add(task)
                    task.add_done_callback(self._done)
                    return await asyncio.shield(task)
        except TimeoutError as error:
            raise self._unavailable("did not answer in time") from error
        except WorkerDied as error:
            raise self._unavailable("does not answer", str(error)) from error
        except WorkerFailed as error:
            raise self._failure(str(error)) from error

    async def _exchange(self, request: tuple[Any, ...]) -> Any:
        """Sends a request, once more if the child dies: every request is idempotent."""
        try:
            return await self._worker.call(request, self._kill_after)
        except WorkerDied as error:
            _log.warning("%s", error)
            return await self._worker.call(request, self._kill_after)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._turn.release()
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; nobody else has to

    def _failure(self, text: str) -> Exception:
        """The domain's word for what the child raised."""
        kind, _, what = text.partition(": ")
        if kind == "DiskFull" or "No space left" in what:
            return Unavailable(f"The disk is full: {what}. Make room, then try again.", Reason.DISK_FULL, retry_after=30)
        if kind == "Mismatch":
            cure = f"Delete {self._folder} and index again."
            return Conflict(f"The index does not fit this program: {what}. {cure}", Reason.INDEX_MISMATCH)
        if kind == "Locked":
            return self._unavailable("is open in another process; stop it first")
        if kind == "Broken":
            return self._unavailable("cannot be read; delete the folder and index again", what)
        if kind in ("Exception", "OSError", "PanicException"):  # all that the binding raises for failing storage
            return self._unavailable("failed", what)
        return RuntimeError(text)

    def _unavailable(self, what: str, details: str = "") -> Unavailable:
        return Unavailable(
            f"The index at {self._folder} {what}." + (f" ({details})" if details else ""), Reason.INDEX_UNAVAILABLE
        )


def clear_for(space: IndexSpace, folder: Path) -> None:
    """Deletes a store that another model or an older version made: no question fits it, and all of it is made anew. One that a
    newer version made, or that cannot be read, stays, and is told of by who opens it."""
    try:
        found = json.loads((folder / layout.FINGERPRINT).read_text())
    except (OSError, ValueError):
        return
    if isinstance(found, dict) and layout.is_outdated(found, space):
        _log.warning("the index that was made with %s is deleted, and made anew", found)
        shutil.rmtree(folder)


def _batch(points: Sequence[Point], space: IndexSpace) -> Batch:
    import numpy as np  # not at the top: the child starts while it loads

    for point in points:
        qdrant_layout.check_vector(point, space)
    return Batch(
        ids=[point.id for point in points],
        dense=np.stack([point.vector for point in points]).astype(np.float32, copy=False).tobytes(),
        terms=np.concatenate([point.lexical.indices for point in points]).astype(np.uint32, copy=False).tobytes(),
        weights=np.concatenate([point.lexical.values for point in points]).astype(np.float32, copy=False).tobytes(),
        ends=np.cumsum([len(point.lexical.indices) for point in points]).tolist(),
        payloads=[layout.payload(point) for point in points],
    )


def _lane(query: LaneQuery) -> Lane | None:
    """The request of a query; None if nothing can come of it."""
    below = qdrant_layout.folder(query.path_prefix)
    if query.limit <= 0:
        return None
    if isinstance(query, DefinitionQuery):
        return Lane(query.limit, below, names=query.names) if query.names else None
    repository, paths = (query.near.repository, query.near.paths) if query.near else ("", ())
    if isinstance(query, DenseQuery):
        vector = query.vector.astype("float32", copy=False).tobytes()
        return Lane(query.limit, below, dense=vector, repository=repository, paths=paths)
    terms, weights = query.terms.indices.astype("uint32", copy=False), query.terms.values.astype("float32", copy=False)
    lane = Lane(query.limit, below, terms=terms.tobytes(), weights=weights.tobytes(), repository=repository, paths=paths)
    return lane if len(terms) else None


def _hit(read: layout.Read, score: float) -> Hit:
    return Hit(read.id, read.chunk, score, read.trace, read.generation)
