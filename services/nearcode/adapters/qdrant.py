"""The chunk index in a Qdrant server or cluster: one collection per index space, the repository as tenant key."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TypeVar

from qdrant_client import grpc as wire

from nearcode.adapters import qdrant_layout as layout
from nearcode.adapters import qdrant_wire as protocol
from nearcode.adapters.qdrant_collection import Collection, Copies
from nearcode.adapters.qdrant_nodes import QdrantNodes
from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.index import Hit, IndexSpace, LaneQuery, Point, StoredPoint
from nearcode.domain.principal import Scope
from nearcode.runtime.ending import end

UPSERT_BATCH = 256
"""Points in one write, about 1 MB."""
RETIRE_BATCH = 200
"""Paths in one filtered delete: 5,000 paths take 25 of them."""
SCAN_PAGE = 512
SNAPSHOT_SECONDS = 3600.0
"""A snapshot copies the node's part of the collection."""

KEEPING_SECONDS = 30.0
"""Between two looks at the copies of shards."""
COPYING_SECONDS = 1.0
"""The same while copies are lacking."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class QdrantChunkIndex:
    """Implements `ChunkIndex` over gRPC. `open` before use. No call takes longer than `seconds`.

    `url` is the address of one server or, separated by commas, of several nodes of a cluster: a call that one cannot answer
    goes to the next. `grpc_port` is the same on all. `https://` addresses are checked against the certificates in `ca_file`,
    or the system's.

    `replicas` copies are kept of each of `shards` shards, and a write is acknowledged when `write_consistency` copies have it.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        space: IndexSpace,
        url: str,
        *,
        api_key: str | None = None,
        collection_prefix: str = "nearcode",
        grpc_port: int = 6334,
        seconds: float = 10.0,
        replicas: int = 1,
        write_consistency: int = 1,
        shards: int = 1,
        ca_file: str = "",
    ) -> None:
        self.space, self.identity = space, ""
        self.collection = layout.collection_name(collection_prefix, space)
        self.alias = f"{collection_prefix}_{space.name}"
        self._seconds, self._replicas = seconds, replicas
        self._keeping: asyncio.Task[None] | None = None
        self._nodes = QdrantNodes(url, api_key=api_key, grpc_port=grpc_port, seconds=seconds, ca_file=ca_file)
        self._store = Collection(self._nodes, space, self.collection, Copies(replicas, write_consistency, shards))

    async def open(self) -> None:
        """Makes the collection if it is missing, safe when several processes do so at once, and brings an existing one to the
        settings; from then on, copies that are lacking get made. Raises Unavailable, and Conflict when the collection was made
        for another model or by a newer version."""
        try:
            async with asyncio.timeout(self._seconds * 3):
                await self._store.open()
        except TimeoutError as error:
            raise Unavailable(f"Qdrant at {self._nodes.url} did not answer in time.", Reason.INDEX_UNAVAILABLE) from error

        if self._replicas > 1 and self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_copies())

    async def close(self) -> None:
        """Closes the connections."""
        if self._keeping:
            await end([self._keeping])
        await self._nodes.close()

    async def upsert(self, points: Sequence[Point]) -> None:
        """See `ChunkIndex`. Each batch is applied, on `write_consistency` nodes, before the next is sent."""
        for batch in _batches(points, UPSERT_BATCH):
            structs = [protocol.point(point, self.space) for point in batch]
            request = wire.UpsertPoints(
                collection_name=self.collection, wait=True, points=structs, ordering=protocol.ORDERING
            )  # fmt: skip
            await self._nodes.write("Points/Upsert", request)

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
            page = await self._nodes.read("Points/Scroll", request)
            for record in page.result:
                yield protocol.stored(record)
            if not page.HasField("next_page_offset"):
                return
            request.offset.CopyFrom(page.next_page_offset)

    async def healthy(self) -> bool:
        """See `ChunkIndex`: whether the collection answers within two seconds."""
        try:
            async with asyncio.timeout(min(2.0, self._seconds)):
                return await self.exists()
        except (TimeoutError, Unavailable):
            return False

    async def exists(self) -> bool:
        """Whether the collection is there. Raises Unavailable."""
        return await self._store.exists()

    async def count(self, repository: str) -> int:
        """Points of a repository, those that no branch holds included. Raises Unavailable."""
        request = wire.CountPoints(collection_name=self.collection, filter=protocol.belonging(repository), exact=True)
        return int((await self._nodes.read("Points/Count", request)).result.count)

    async def delete(self) -> None:
        """Drops the collection with all its points. Raises Unavailable."""
        await self._store.delete()

    async def aliased(self) -> str | None:
        """The collection that this space's alias leads to; None without an alias. Raises Unavailable."""
        answer = await self._nodes.read("Collections/ListAliases", wire.ListAliasesRequest())
        return next((found.collection_name for found in answer.aliases if found.alias_name == self.alias), None)

    async def publish_alias(self) -> None:
        """Leads the space's alias to this collection, in one step: nobody sees none or both. Raises Unavailable."""
        create = wire.AliasOperations(create_alias=wire.CreateAlias(collection_name=self.collection, alias_name=self.alias))
        delete = wire.AliasOperations(delete_alias=wire.DeleteAlias(alias_name=self.alias))
        await self._nodes.write("Collections/UpdateAliases", wire.ChangeAliases(actions=[delete, create]))

    async def snapshot(self) -> dict[str, str]:
        """Makes a snapshot on every listed node, each of the shards it holds, and returns their names by the node's address.
        They lie in the node's snapshot folder; aliases are not part of them. Raises Unavailable."""
        request = wire.CreateSnapshotRequest(collection_name=self.collection)
        names = {}
        for node in self._nodes.nodes:
            answer = await self._nodes.ask(node, "Snapshots/Create", request, SNAPSHOT_SECONDS)
            names[node.url] = str(answer.snapshot_description.name)
        return names

    async def replicated(self) -> bool:
        """Whether each shard has all its copies, and all of them answer. Raises Unavailable."""
        return await self._store.replicated()

    async def indexed(self) -> bool:
        """Whether the graph holds all points, so that nothing is left to optimize."""
        return bool((await self._store.info()).status == wire.CollectionStatus.Green)

    async def _keep_copies(self) -> None:
        """Looks now and then whether a shard lacks copies, because a node lost its disk or the settings ask for more."""
        while True:
            try:
                lacking = await self._store.replicate()
            except Unavailable as error:
                _log.warning("the copies of %s cannot be looked at: %s", self.collection, error)
                lacking = 0
            await asyncio.sleep(COPYING_SECONDS if lacking else KEEPING_SECONDS)

    async def _ranked(self, scope: Scope, queries: Sequence[LaneQuery]) -> dict[int, Sequence[wire.ScoredPoint]]:
        requests = [protocol.ranking(self.collection, scope, query) for query in queries]
        lanes = {lane: request for lane, request in enumerate(requests) if request}
        if not lanes:
            return {}
        batch = wire.QueryBatchPoints(collection_name=self.collection, query_points=lanes.values())
        answers = await self._nodes.read("Points/QueryBatch", batch)
        return {lane: answer.result for lane, answer in zip(lanes, answers.result, strict=True)}

    async def _named(self, scope: Scope, queries: Sequence[LaneQuery]) -> dict[int, Sequence[wire.RetrievedPoint]]:
        requests = [protocol.naming(self.collection, scope, query) for query in queries]
        lanes = {lane: request for lane, request in enumerate(requests) if request}
        answers = await asyncio.gather(*(self._nodes.read("Points/Scroll", request) for request in lanes.values()))
        return {lane: answer.result for lane, answer in zip(lanes, answers, strict=True)}

    async def _delete(self, which: wire.Filter) -> None:
        selector = wire.PointsSelector(filter=which)
        request = wire.DeletePoints(
            collection_name=self.collection, wait=True, points=selector, ordering=protocol.ORDERING
        )  # fmt: skip
        await self._nodes.write("Points/Delete", request)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
