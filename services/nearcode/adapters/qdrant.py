"""The chunk index in a Qdrant server: one collection per index space, the repository as tenant key."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import numpy as np
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from nearcode.adapters import qdrant_layout as layout
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.index import DefinitionQuery, DenseQuery, Hit, IndexSpace, LaneQuery, Point, StoredPoint
from nearcode.domain.principal import Scope

UPSERT_BATCH = 256
"""Points in one write, about 1 MB."""
RETIRE_BATCH = 200
"""Paths in one filtered delete: 5,000 paths take 25 of them."""
SCAN_PAGE = 512
HNSW_M = 16
"""Edges of the whole graph and of each tenant's. With a tenant graph only, a query over several repositories loses its
recall (1.00, 0.48, 0.21, 0.03 for 1, 2, 5, 20 repositories on 60,000 points)."""

_DOWN = {
    grpc.StatusCode.UNAVAILABLE: "does not answer",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
    grpc.StatusCode.CANCELLED: "broke off the call",
    grpc.StatusCode.UNAUTHENTICATED: "refuses the API key",
    grpc.StatusCode.PERMISSION_DENIED: "refuses the API key",
    grpc.StatusCode.NOT_FOUND: "has lost the collection; restart to make it again, then index again",
    grpc.StatusCode.INTERNAL: "failed",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "is overloaded",
}
_CHANNEL = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000}
"""A server that comes back is found within a second; gRPC's own upper bound is two minutes."""


T = TypeVar("T")


class QdrantChunkIndex:
    """Implements `ChunkIndex` over gRPC. `open` before use. No call takes longer than `seconds`.

    `url` is the REST address; `grpc_port` is beside it on the same host.
    """

    def __init__(
        self,
        space: IndexSpace,
        url: str,
        *,
        api_key: str | None = None,
        collection_prefix: str = "nearcode",
        grpc_port: int = 6334,
        seconds: float = 10.0,
    ) -> None:
        self.space = space
        self.collection = layout.collection_name(collection_prefix, space)
        self._url, self._seconds = url, seconds
        self._client = AsyncQdrantClient(
            url=url, api_key=api_key, grpc_port=grpc_port, prefer_grpc=True, check_compatibility=False,
            timeout=max(1, round(seconds)), grpc_options=dict(_CHANNEL),
        )  # fmt: skip

    async def open(self) -> None:
        """Makes the collection if it is missing, safe when several processes do so at once. Raises Unavailable, and
        Conflict when it was made for another model or by another version."""
        async with asyncio.timeout(self._seconds * 3):
            with self._failures():
                if not await self._client.collection_exists(self.collection):
                    await self._create()
                await self._check()
                for field in layout.KEYWORDS:
                    tenant = True if field == layout.REPOSITORY else None
                    keyword = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=tenant)
                    await self._client.create_payload_index(self.collection, field, keyword)
                await self._client.create_payload_index(self.collection, layout.GENERATION, models.PayloadSchemaType.INTEGER)

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()

    async def upsert(self, points: Sequence[Point]) -> None:
        """See `ChunkIndex`. Each batch is applied before the next is sent; the server has it in its write-ahead log."""
        for batch in _batches(points, UPSERT_BATCH):
            structs = [_struct(point, self.space) for point in batch]
            with self._failures():
                async with asyncio.timeout(self._seconds):
                    await self._client.upsert(self.collection, structs, wait=True)

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        """See `ChunkIndex`. The vector lanes share one call; definitions are filtered, not ranked."""
        if not scope.repositories:
            return [[] for _ in queries]
        with self._failures():
            async with asyncio.timeout(self._seconds):
                ranked, named = await asyncio.gather(self._ranked(scope, queries), self._named(scope, queries))
        return [ranked.get(lane, named.get(lane, [])) for lane in range(len(queries))]

    async def retire(self, repository: str, keep: Mapping[str, str | None], before: int) -> None:
        """See `ChunkIndex`."""
        for batch in _batches(sorted(keep), RETIRE_BATCH):
            outdated = models.Filter(
                must=[
                    _equals(layout.REPOSITORY, repository),
                    models.FieldCondition(key=layout.GENERATION, range=models.Range(lte=before)),
                ],
                should=[_other_version(path, keep[path]) for path in batch],
            )
            await self._delete(outdated)

    async def drop(self, repository: str) -> None:
        """See `ChunkIndex`."""
        await self._delete(models.Filter(must=[_equals(layout.REPOSITORY, repository)]))

    async def scan(self, repository: str) -> AsyncIterator[StoredPoint]:
        """See `ChunkIndex`."""
        belongs = models.Filter(must=[_equals(layout.REPOSITORY, repository)])
        offset: Any = None
        while True:
            with self._failures():
                async with asyncio.timeout(self._seconds):
                    page, offset = await self._client.scroll(
                        self.collection, belongs, limit=SCAN_PAGE, offset=offset, with_payload=True, with_vectors=[layout.DENSE]
                    )
            for record in page:
                yield _stored(record)
            if offset is None:
                return

    async def healthy(self) -> bool:
        """See `ChunkIndex`: whether the collection answers within two seconds."""
        try:
            with self._failures():
                async with asyncio.timeout(min(2.0, self._seconds)):
                    return await self._client.collection_exists(self.collection)
        except Unavailable:
            return False

    async def _create(self) -> None:
        try:
            await self._client.create_collection(
                self.collection,
                vectors_config={
                    layout.DENSE: models.VectorParams(size=self.space.profile.dimensions, distance=models.Distance.COSINE)
                },
                sparse_vectors_config={layout.LEXICAL: models.SparseVectorParams()},
                hnsw_config=models.HnswConfigDiff(m=HNSW_M, payload_m=HNSW_M),
                on_disk_payload=True,
                metadata=layout.fingerprint(self.space),
            )
        except grpc.aio.AioRpcError:
            if not await self._client.collection_exists(self.collection):  # else another process was faster
                raise

    async def _check(self) -> None:
        config = (await self._client.get_collection(self.collection)).config
        vectors = config.params.vectors
        dense = vectors.get(layout.DENSE) if isinstance(vectors, dict) else None
        found: dict[str, object] = {**(config.metadata or {}), "dimensions": dense.size if dense else 0}
        if dense and dense.distance != models.Distance.COSINE:
            found["dimensions"] = f"{dense.size} by {dense.distance}"
        if wrong := layout.difference(found, self.space):
            raise Conflict(
                f"Collection {self.collection} at {self._url} does not fit: {wrong}. Delete the collection and index again, "
                "or choose another collection prefix.",
                Reason.INDEX_MISMATCH,
            )

    async def _ranked(self, scope: Scope, queries: Sequence[LaneQuery]) -> dict[int, list[Hit]]:
        lanes = {lane: request for lane, query in enumerate(queries) if (request := _ranking(scope, query))}
        if not lanes:
            return {}
        answers = await self._client.query_batch_points(self.collection, list(lanes.values()))
        return {lane: [_hit(found) for found in answer.points] for lane, answer in zip(lanes, answers, strict=True)}

    async def _named(self, scope: Scope, queries: Sequence[LaneQuery]) -> dict[int, list[Hit]]:
        lanes = {
            lane: self._client.scroll(self.collection, _readable(scope, query), limit=query.limit, with_payload=True)
            for lane, query in enumerate(queries)
            if isinstance(query, DefinitionQuery) and query.names and query.limit > 0
        }
        answers = await asyncio.gather(*lanes.values())
        return {lane: [_hit(record) for record in page] for lane, (page, _) in zip(lanes, answers, strict=True)}

    async def _delete(self, which: models.Filter) -> None:
        with self._failures():
            async with asyncio.timeout(self._seconds):
                await self._client.delete(self.collection, models.FilterSelector(filter=which), wait=True)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Maps what the client raises to Unavailable; what we did wrong stays a bug."""
        try:
            yield
        except TimeoutError as error:
            raise self._unavailable("did not answer in time") from error
        except ResourceExhaustedResponse as error:
            raise Unavailable(f"Qdrant at {self._url} is overloaded.", Reason.OVERLOADED, error.retry_after_s) from error
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            if "No space left" in details or "disk" in details.lower():
                message = f"The disk of Qdrant at {self._url} is full. Make room there."
                raise Unavailable(message, Reason.DISK_FULL, retry_after=30) from error
            if error.code() not in _DOWN:
                raise
            raise self._unavailable(_DOWN[error.code()], details) from error

    def _unavailable(self, what: str, details: str = "") -> Unavailable:
        return Unavailable(f"Qdrant at {self._url} {what}." + (f" ({details})" if details else ""), Reason.INDEX_UNAVAILABLE)


def _struct(point: Point, space: IndexSpace) -> models.PointStruct:
    layout.check_vector(point, space)
    lexical = models.SparseVector.model_construct(indices=point.lexical.indices.tolist(), values=point.lexical.values.tolist())
    vector = {layout.DENSE: point.vector.tolist(), layout.LEXICAL: lexical}
    return models.PointStruct.model_construct(id=point.id, vector=vector, payload=layout.payload(point))


def _ranking(scope: Scope, query: LaneQuery) -> models.QueryRequest | None:
    """The request of a lane that ranks by vectors; None if nothing can come of it."""
    if query.limit <= 0 or isinstance(query, DefinitionQuery):
        return None
    vector: list[float] | models.SparseVector
    if isinstance(query, DenseQuery):
        vector, using = query.vector.tolist(), layout.DENSE
    elif len(query.terms.indices):
        using = layout.LEXICAL
        vector = models.SparseVector(indices=query.terms.indices.tolist(), values=query.terms.values.tolist())
    else:
        return None
    return models.QueryRequest(
        query=models.NearestQuery(nearest=vector),
        using=using,
        filter=_readable(scope, query),
        limit=query.limit,
        with_payload=True,
    )


def _readable(scope: Scope, query: LaneQuery) -> models.Filter:
    """Live points of the scope's repositories, below the query's path prefix, with one of its names."""
    must: list[models.Condition] = [_any(layout.REPOSITORY, sorted(scope.repositories))]
    if below := layout.folder(query.path_prefix):
        must.append(models.Filter(should=[_equals(layout.DIRECTORIES, below), _equals(layout.PATH, below)]))
    if isinstance(query, DefinitionQuery):
        must.append(_any(layout.DEFINITIONS, list(query.names)))
    dead = models.IsEmptyCondition(is_empty=models.PayloadField(key=layout.LIVE))
    return models.Filter(must=must, must_not=[dead])


def _other_version(path: str, blob: str | None) -> models.Filter:
    kept: list[models.Condition] = [_equals(layout.BLOB, blob)] if blob is not None else []
    return models.Filter(must=[_equals(layout.PATH, path)], must_not=kept)


def _equals(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _any(field: str, values: list[str]) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=values))


def _hit(found: models.ScoredPoint | models.Record) -> Hit:
    payload = found.payload or {}
    score = found.score if isinstance(found, models.ScoredPoint) else 1.0
    return Hit(str(found.id), layout.chunk_of(payload), score, payload.get(layout.TRACE, ""))


def _stored(record: models.Record) -> StoredPoint:
    assert isinstance(record.vector, dict)
    vector = np.asarray(record.vector[layout.DENSE], np.float32).tobytes()
    return StoredPoint(str(record.id), layout.describe(layout.chunk_of(record.payload or {})), vector)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
