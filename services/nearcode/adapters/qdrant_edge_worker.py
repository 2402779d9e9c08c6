"""The process that owns an embedded Qdrant shard: one request at a time over its pipes, see `qdrant_edge.py`.

Imports neither numpy nor a client library, to start quickly and stay small; vectors travel as bytes.
"""

import contextlib
import json
import os
import shutil
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from nearcode.adapters import qdrant_edge_layout as layout
from nearcode.adapters.qdrant_edge_wire import Answer, Batch, Lane, Page
from nearcode.runtime.child import serve

LOCK_SECONDS = 5.0
"""How long to wait for another process to let go of the shard: one that was killed takes milliseconds."""
RESCORED = 2.0
"""How many candidates of the compressed vectors are scored again with the originals, as a multiple of those asked for."""
LEAST_RESCORED = 100
"""The same, however few were asked for: of ten, twenty would leave some of the best out."""
READ_AHEAD = 128 << 10
"""Bytes that Linux reads ahead at one request, by default; of more it leaves the rest out."""
READ = [layout.PACKED]
"""What is read of a point."""
FLUSH_POINTS = 8192
"""Points after which written data goes from the log into the segments, so that opening replays little."""


class Mismatch(Exception):
    """The shard was made for another model, or by another version."""


class Locked(Exception):
    """Another process has the shard open."""


class Broken(Exception):
    """The shard's files cannot be read."""


class DiskFull(Exception):
    """Not enough room to write safely."""


class Shard:
    """An open shard. `reserve` is the free disk space in bytes below which nothing is written; `patience`: seconds to wait for
    another process to let go of the shard."""

    def __init__(self, folder: Path, fingerprint: Mapping[str, object], reserve: int, patience: float = LOCK_SECONDS) -> None:
        self._patience = patience
        self._folder, self._fingerprint, self._reserve = folder, dict(fingerprint), reserve
        self._dimensions = int(str(fingerprint["dimensions"]))
        self._shard = self._open()
        self._unflushed = 0
        self._covers: dict[frozenset[str], bool] = {}

    def upsert(self, batch: Batch) -> None:
        """Stores a batch in the log: from here on a kill loses nothing of it."""
        self._check_room(len(batch.dense) * 4)
        width = self._dimensions
        dense, terms, weights = _floats(batch.dense), memoryview(batch.terms).cast("I"), _floats(batch.weights)
        points, start = [], 0
        for row, end in enumerate(batch.ends):
            sparse = edge.SparseVector(terms[start:end].tolist(), weights[start:end].tolist())
            vector: Any = {layout.DENSE: dense[row * width : (row + 1) * width].tolist(), layout.LEXICAL: sparse}
            points.append(edge.Point(batch.ids[row], vector, batch.payloads[row]))
            start = end
        self._write(edge.UpdateOperation.upsert_points(points), len(points))

    def search(self, repositories: list[str], lanes: Sequence[Lane]) -> Answer:
        """Answers lanes from the live points of these repositories. What two lanes found is read once: reading takes longer
        than finding."""
        found = [self._named(repositories, lane) if lane.names else self._ranked(repositories, lane) for lane in lanes]
        records = self._shard.retrieve(list(dict.fromkeys(point for lane in found for point, _ in lane)), READ, False)
        places = {record.id: place for place, record in enumerate(records)}
        ranked = [[(places[point], score) for point, score in lane] for lane in found]
        return Answer([record.payload[layout.PACKED] for record in records], ranked)

    def retire(self, repository: str, keep: Mapping[str, str | None], before: int) -> None:
        """Deletes the points of other versions of these paths, as far as `before` or an earlier generation wrote them."""
        belongs = edge.Filter(must=[_belongs(repository), _any(layout.PATH, list(keep))])
        outdated: list[Any] = []
        offset = None
        while True:
            records, offset = self._shard.scroll(edge.ScrollRequest(offset, 4096, belongs, READ, False))
            for record in records:
                point = layout.unpack(record.payload[layout.PACKED])
                if point.chunk.blob != keep[point.chunk.path] and point.generation <= before:
                    outdated.append(record.id)
            if offset is None:
                break
        if outdated:
            self._write(edge.UpdateOperation.delete_points(outdated), len(outdated))

    def drop(self, repository: str) -> None:
        """Deletes a repository."""
        belongs = edge.Filter(must=[_belongs(repository)])
        self._write(edge.UpdateOperation.delete_points_by_filter(belongs), FLUSH_POINTS)

    def scan(self, repository: str, offset: str | None, limit: int) -> Page:
        """One page of a repository's points."""
        belongs = edge.Filter(must=[_belongs(repository)])
        records, following = self._shard.scroll(edge.ScrollRequest(offset, limit, belongs, READ, [layout.DENSE]))
        vectors = b"".join(array("f", record.vector[layout.DENSE]).tobytes() for record in records)
        packed = [record.payload[layout.PACKED] for record in records]
        return Page(packed, vectors, None if following is None else str(following))

    def flush(self) -> None:
        """Brings everything from the log into the segments, synced to disk."""
        self._shard.flush()
        self._unflushed = 0

    def vacuum(self) -> bool:
        """Rewrites segments of which a fifth was deleted, and says whether there were any. Nobody is answered meanwhile."""
        self._check_room(sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file()))
        if not self._shard.optimize():
            return False
        self.close()
        self._shard = self._open()  # lets go of the memory of the old segments
        return True

    def identity(self) -> str:
        """What was drawn when the store was made; empty if it was lost."""
        return str(json.loads((self._folder / layout.FINGERPRINT).read_text()).get(layout.IDENTITY, ""))

    def count(self) -> int:
        """Stored points."""
        return int(self._shard.info().points_count)

    def close(self) -> None:
        """Flushes and lets go of the files."""
        self._shard.flush()
        self._shard.close()

    def _ranked(self, repositories: list[str], lane: Lane) -> list[tuple[Any, float]]:
        if lane.dense:
            nearest = edge.Query.Nearest(_floats(lane.dense).tolist(), using=layout.DENSE)
        else:
            terms = edge.SparseVector(memoryview(lane.terms).cast("I").tolist(), _floats(lane.weights).tolist())
            nearest = edge.Query.Nearest(terms, using=layout.LEXICAL)
        if lane.repository:
            among = [name for name in repositories if name == lane.repository]
            if not among:
                return []
            readable: Any = _readable(among, lane.below, _any(layout.PATH, list(lane.paths)))
        else:
            everything = not lane.below and self._is_all(repositories)
            readable = None if everything else _readable(repositories, lane.below)
        request = edge.QueryRequest(lane.limit, query=nearest, filter=readable, params=_rescored(lane.limit))
        return [(point.id, point.score) for point in self._shard.query(request)]

    def _is_all(self, repositories: list[str]) -> bool:
        """Whether a filter by these repositories would leave nothing out, so that exact search need not ask it of each
        point: on 42,000 points it costs more than the distances do. Counted anew after every write."""
        key = frozenset(repositories)
        if key not in self._covers:
            readable = edge.CountRequest(exact=True, filter=_readable(repositories, ""))
            self._covers[key] = self._shard.count(readable) == self.count()
        return self._covers[key]

    def _named(self, repositories: list[str], lane: Lane) -> list[tuple[Any, float]]:
        named = _readable(repositories, lane.below, _any(layout.DEFINITIONS, list(lane.names)))
        records, _ = self._shard.scroll(edge.ScrollRequest(None, lane.limit, named, False, False))
        return [(record.id, 1.0) for record in records]

    def _write(self, operation: Any, points: int) -> None:
        self._covers.clear()
        self._shard.update(operation)
        self._unflushed += points
        if self._unflushed >= FLUSH_POINTS:
            self.flush()

    def _check_room(self, needed: int) -> None:
        """A full disk would kill this process: segments are mapped files, and a page without room behind it is a SIGBUS."""
        free = shutil.disk_usage(self._folder).free
        if free < self._reserve + needed:
            raise DiskFull(f"{free >> 20} MB free at {self._folder}")

    def _open(self) -> Any:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check_fingerprint()
        except (OSError, ValueError) as error:
            raise Broken(f"{self._folder}: {error}") from error
        shard = self._load(self._folder / "shard")
        indexed = shard.info().payload_schema
        for field in layout.KEYWORDS:
            if field not in indexed:
                keyword = edge.KeywordIndexParams(prefix=True if field == layout.PATH else None)
                shard.update(edge.UpdateOperation.create_field_index(field, keyword))
        self._warm()
        return shard

    def _warm(self) -> None:
        """Asks for the payloads to be read into the page cache, from which the store dropped them when it opened: else each hit
        waits for the disk, 60 us, until its page was read once."""
        if hasattr(os, "posix_fadvise"):
            for file in self._folder.glob("shard/segments/*/payload_storage/page_*.dat"):
                with file.open("rb") as payloads:
                    for start in range(0, file.stat().st_size, READ_AHEAD):
                        os.posix_fadvise(payloads.fileno(), start, READ_AHEAD, os.POSIX_FADV_WILLNEED)

    def _check_fingerprint(self) -> None:
        file = self._folder / layout.FINGERPRINT
        if file.exists():
            found = json.loads(file.read_text())
            if {key: value for key, value in found.items() if key != layout.IDENTITY} != self._fingerprint:
                raise Mismatch(f"{self._folder} holds {found}, this program needs {self._fingerprint}")
        elif (self._folder / "shard").exists():
            raise ValueError(f"{layout.FINGERPRINT} is missing beside the points")
        else:
            written = file.with_suffix(f".{os.getpid()}")
            written.write_text(json.dumps({**self._fingerprint, layout.IDENTITY: os.urandom(8).hex()}))
            written.replace(file)

    def _load(self, path: Path) -> Any:
        """Opens the shard, or makes it; waits a little for another process to let go of it."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                if (path / "segments").exists():
                    return edge.EdgeShard.load(str(path), self._config())
                path.mkdir(exist_ok=True)
                return edge.EdgeShard.create(str(path), self._config())
            except Exception as error:
                if "WouldBlock" not in str(error):
                    raise Broken(f"{path}: {error}") from error
                if time.monotonic() > deadline:
                    raise Locked(str(path)) from error
            time.sleep(0.02)

    def _config(self) -> Any:
        compressed = edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4)
        dense = edge.EdgeVectorParams(self._dimensions, edge.Distance.Cosine, quantization_config=compressed)
        return edge.EdgeConfig(
            vectors={layout.DENSE: dense},
            sparse_vectors={layout.LEXICAL: edge.EdgeSparseVectorParams()},
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=0),
            max_search_threads=1,  # for one segment; waking threads would cost more than they do
            payload_memory=edge.Memory.Cold,  # Cached would fill the holes of its files: 32 MB for nothing, or a full disk
        )


def _rescored(limit: int) -> Any:
    oversampling = max(RESCORED, LEAST_RESCORED / limit)
    return edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling))


def _readable(repositories: list[str], below: str, *more: Any) -> Any:
    """Live points of these repositories."""
    must = [_any(layout.OWNER, [layout.searchable(name) for name in repositories]), *more]
    if below:
        inside = edge.FieldCondition(layout.PATH, match=edge.MatchPrefix(below + "/"))
        must.append(edge.Filter(should=[inside, _equals(layout.PATH, below)]))
    return edge.Filter(must=must)


def _belongs(repository: str) -> Any:
    return _any(layout.OWNER, layout.belonging(repository))


def _equals(field: str, value: str) -> Any:
    return edge.FieldCondition(field, match=edge.MatchValue(value))


def _any(field: str, values: list[str]) -> Any:
    return edge.FieldCondition(field, match=edge.MatchAny(values))


def _floats(raw: bytes) -> "array[float]":
    return array("f", raw)


class Owner:
    """Opens the shard while its owner is still starting, and again at the next request if that failed."""

    def __init__(self, folder: Path, fingerprint: Mapping[str, object], reserve: int) -> None:
        self._arguments = (folder, fingerprint, reserve)
        self._shard: Shard | None = None

    def prepare(self) -> None:
        """Opens the shard. What is wrong with it is told to the first request, which tries again."""
        with contextlib.suppress(Mismatch, Locked, Broken, DiskFull):
            self._shard = Shard(*self._arguments, patience=0.0)

    def handle(self, request: tuple[Any, ...]) -> Any:
        """Calls the shard's method that the request names."""
        if self._shard is None:
            self._shard = Shard(*self._arguments)
        return getattr(self._shard, request[0])(*request[1:])

    def close(self) -> None:
        """Closes the shard if it is open."""
        if self._shard:
            self._shard.close()


if __name__ == "__main__":
    owner = Owner(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))
    serve(owner.handle, owner.prepare)
    owner.close()
