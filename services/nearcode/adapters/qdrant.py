"""The chunk index in a Qdrant server: one collection per index space, the repository as tenant key."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from qdrant_client import AsyncQdrantClient, models
from qdrant_client import grpc as wire
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from nearcode.adapters import qdrant_layout as layout
from nearcode.adapters import qdrant_wire as protocol
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.index import Hit, IndexSpace, LaneQuery, Point, StoredPoint
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
            structs = [protocol.point(point, self.space) for point in batch]
            await self._ask("Upsert", wire.UpsertPoints(collection_name=self.collection, wait=True, points=structs))

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        """See `ChunkIndex`. The lanes that rank by vectors share one call."""
        if not scope.repositories:
            return [[] for _ in queries]
        ranked, named = await asyncio.gather(self._ranked(scope, queries), self._named(scope, queries))
        return [[protocol.hit(point) for point in ranked.get(lane, named.get(lane, ()))] for lane in range(len(queries))]

    async def retire(self, repository: str, keep: Mapping[str, str | None], before: int) -> None:
        """See `ChunkIndex`."""
        for paths in _batches(sorted(keep), RETIRE_BATCH):
            await self._delete(protocol.outdated(repository, {path: keep[path] for path in paths}, before))

    async def drop(self, repository: str) -> None:
        """See `ChunkIndex`."""
        await self._delete(protocol.belonging(repository))

    async def scan(self, repository: str) -> AsyncIterator[StoredPoint]:
        """See `ChunkIndex`."""
        request = wire.ScrollPoints(
            collection_name=self.collection,
            filter=protocol.belonging(repository),
            limit=SCAN_PAGE,
            with_payload=protocol.READ,
            with_vectors=wire.WithVectorsSelector(include=wire.VectorsSelector(names=[layout.DENSE])),
        )
        while True:
            page = await self._ask("Scroll", request)
            for record in page.result:
                yield protocol.stored(record)
            if not page.HasField("next_page_offset"):
                return
            request.offset.CopyFrom(page.next_page_offset)

    async def healthy(self) -> bool:
        """See `ChunkIndex`: whether the collection answers within two seconds."""
        try:
            with self._failures():
                async with asyncio.timeout(min(2.0, self._seconds)):
                    return await self._client.collection_exists(self.collection)
        except Unavailable:
            return False

    async def indexed(self) -> bool:
        """Whether the graph holds all points, so that nothing is left to optimize."""
        with self._failures():
            state = await self._client.get_collection(self.collection)
            return bool(state.status == models.CollectionStatus.GREEN)

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

    async def _ranked(self, scope: Scope, queries: Sequence[LaneQuery]) -> dict[int, Sequence[wire.ScoredPoint]]:
        requests = [protocol.ranking(self.collection, scope, query) for query in queries]
        lanes = {lane: request for lane, request in enumerate(requests) if request}
        if not lanes:
            return {}
        batch = wire.QueryBatchPoints(collection_name=self.collection, query_points=lanes.values())
        answers = await self._ask("QueryBatch", batch)
        return {lane: answer.result for lane, answer in zip(lanes, answers.result, strict=True)}

    async def _named(self, scope: Scope, queries: Sequence[LaneQuery]) -> dict[int, Sequence[wire.RetrievedPoint]]:
        requests = [protocol.naming(self.collection, scope, query) for query in queries]
        lanes = {lane: request for lane, request in enumerate(requests) if request}
        answers = await asyncio.gather(*(self._ask("Scroll", request) for request in lanes.values()))
        return {lane: answer.result for lane, answer in zip(lanes, answers, strict=True)}

    async def _delete(self, which: wire.Filter) -> None:
        selector = wire.PointsSelector(filter=which)
        await self._ask("Delete", wire.DeletePoints(collection_name=self.collection, wait=True, points=selector))

    async def _ask(self, method: str, request: Message) -> Any:
        with self._failures():
            return await getattr(self._client.grpc_points, method)(request, timeout=self._seconds)

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


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
