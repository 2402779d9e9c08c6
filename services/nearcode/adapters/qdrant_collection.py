"""The collection of an index space: made once, checked and brought to what the settings want at every start."""

import logging
from collections import Counter
from typing import Any, NamedTuple

import grpc
from qdrant_client import grpc as wire

from nearcode.adapters import qdrant_layout as layout
from nearcode.adapters.qdrant_nodes import QdrantNodes
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.index import IndexSpace

_log = logging.getLogger(__name__)


class Copies(NamedTuple):
    """How a collection is spread: copies of each shard, how many of them must have a write before it is acknowledged, and
    shards, whose number is fixed when the collection is made."""

    replicas: int = 1
    write_consistency: int = 1
    shards: int = 1


class Replica(NamedTuple):
    """A copy of a shard on a peer; `state` is Qdrant's, "Active" when it answers."""

    shard: int
    peer: int
    state: str


class Collection:
    """The collection of a space in a Qdrant server or cluster."""

    def __init__(self, nodes: QdrantNodes, space: IndexSpace, name: str, copies: Copies) -> None:
        self._nodes, self._space, self._copies = nodes, space, copies
        self.name = name
        self._too_few = False

    async def open(self) -> None:
        """Makes the collection if it is missing, safe when several processes do so at once; adds what an older one lacks.
        Raises Unavailable, and Conflict when the server or the collection does not fit this program."""
        await self._check_server()
        if not await self.exists():
            await self._create()
        found = await self.info()
        self._check(found.config)
        await self._update(found.config)
        for field, parameters in _payload_indexes().items():
            if field not in found.payload_schema:
                parameters.collection_name = self.name
                await self._nodes.write("Points/CreateFieldIndex", parameters)

    async def exists(self) -> bool:
        """Whether it is there."""
        request = wire.CollectionExistsRequest(collection_name=self.name)
        return bool((await self._nodes.read("Collections/CollectionExists", request)).result.exists)

    async def info(self) -> Any:
        """Qdrant's CollectionInfo."""
        return (await self._nodes.read("Collections/Get", wire.GetCollectionInfoRequest(collection_name=self.name))).result

    async def delete(self) -> None:
        """Drops it with all its points; aliases that lead to it go, too."""
        await self._nodes.write("Collections/Delete", wire.DeleteCollection(collection_name=self.name))

    async def replicas(self) -> list[Replica]:
        """All copies of all shards, as one node sees them."""
        return _replicas(await self._nodes.read("Collections/CollectionClusterInfo", self._who()))

    async def replicated(self) -> bool:
        """Whether each shard has all its copies and all of them answer, as one node knows it: for the second or two in which a
        cluster has no leader, what a dead copy missed is not yet known to it."""
        copies = await self.replicas()
        full = Counter(copy.shard for copy in copies if copy.state == "Active")
        return len(full) > 0 and all(copy.state == "Active" and full[copy.shard] >= self._copies.replicas for copy in copies)

    async def replicate(self) -> int:
        """Starts copies that shards lack, onto the listed nodes that hold the fewest, and returns how many were lacking. Does
        not wait for them: a large shard takes hours, and reads and writes go on meanwhile. A shard is copied to one node at a
        time, so that several calls are needed for several copies. Raises Unavailable."""
        copies = await self.replicas()
        peers = await self._peers() | {copy.peer for copy in copies}
        if len(peers) < self._copies.replicas and not self._too_few:
            _log.warning(
                "Qdrant at %s has %d nodes, too few for index.replicas = %d. Add nodes, or set it lower.",
                self._nodes.url, len(peers), self._copies.replicas,
            )  # fmt: skip
        self._too_few = len(peers) < self._copies.replicas
        lacking = missing(copies, peers, self._copies.replicas)
        for source, target in {source.shard: (source, target) for source, target in reversed(lacking)}.values():
            await self._copy(source, target)
        return len(lacking)

    async def _copy(self, source: Replica, target: int) -> None:
        request = wire.UpdateCollectionClusterSetupRequest(
            collection_name=self.name,
            replicate_shard=wire.ReplicateShard(shard_id=source.shard, from_peer_id=source.peer, to_peer_id=target),
        )
        try:
            await self._nodes.write("Collections/UpdateCollectionClusterSetup", request)
        except grpc.aio.AioRpcError as error:  # refused: it is being copied already, maybe because another process asked
            _log.debug("%s: shard %d is not copied now: %s", self.name, source.shard, error.details())
        else:
            _log.warning("%s: shard %d is copied to node %d, which lacked it", self.name, source.shard, target)

    async def _peers(self) -> set[int]:
        """The peers behind the listed addresses, as far as they answer."""
        peers = set()
        for node in self._nodes.nodes:
            try:
                peers.add(int((await self._nodes.ask(node, "Collections/CollectionClusterInfo", self._who(), 2.0)).peer_id))
            except Unavailable as error:
                _log.warning("%s", error)
        return peers

    def _who(self) -> wire.CollectionClusterInfoRequest:
        return wire.CollectionClusterInfoRequest(collection_name=self.name)

    async def _check_server(self) -> None:
        version = (await self._nodes.read("Qdrant/HealthCheck", wire.HealthCheckRequest())).version
        if wrong := layout.unfit_server(version):
            raise Conflict(f"Qdrant at {self._nodes.url} is version {version}: {wrong}.", Reason.INDEX_MISMATCH)

    async def _create(self) -> None:
        dense = wire.VectorParams(size=self._space.profile.dimensions, distance=wire.Distance.Cosine, on_disk=True)
        lexical = wire.SparseVectorParams(index=wire.SparseIndexConfig(on_disk=True))
        request = wire.CreateCollection(
            collection_name=self.name,
            vectors_config=wire.VectorsConfig(params_map=wire.VectorParamsMap(map={layout.DENSE: dense})),
            sparse_vectors_config=wire.SparseVectorConfig(map={layout.LEXICAL: lexical}),
            hnsw_config=wire.HnswConfigDiff(
                m=layout.HNSW_M, payload_m=layout.HNSW_M, full_scan_threshold=layout.scanned_kilobytes(self._space)
            ),
            optimizers_config=wire.OptimizersConfigDiff(default_segment_number=layout.SEGMENTS),
            quantization_config=wire.QuantizationConfig(scalar=_quantization()),
            on_disk_payload=True,
            shard_number=self._copies.shards,
            replication_factor=self._copies.replicas,
            write_consistency_factor=self._copies.write_consistency,
            metadata={key: wire.Value(**_typed(value)) for key, value in layout.fingerprint(self._space).items()},
        )
        try:
            await self._nodes.write("Collections/Create", request)
        except grpc.aio.AioRpcError:
            if not await self.exists():  # else another process was faster
                raise

    def _check(self, config: wire.CollectionConfig) -> None:
        dense = config.params.vectors_config.params_map.map.get(layout.DENSE)
        metadata = {key: value.string_value or value.integer_value for key, value in config.metadata.items()}
        found: dict[str, object] = {**metadata, "dimensions": dense.size if dense else 0}
        if dense and dense.distance != wire.Distance.Cosine:
            found["dimensions"] = f"{dense.size} by {wire.Distance.Name(dense.distance)}"
        if wrong := layout.difference(found, self._space):
            cure = "Delete the collection and index again, or choose another collection prefix."
            if layout.is_newer(found, layout.SCHEMA):
                cure = "Upgrade this process, or set index.collection_prefix to another one."
            text = f"Collection {self.name} at {self._nodes.url} does not fit: {wrong}. {cure}"
            raise Conflict(text, Reason.INDEX_MISMATCH)

    async def _update(self, config: wire.CollectionConfig) -> None:
        """Brings what can be changed to what is wanted. Qdrant does the work behind, while it answers."""
        params, wanted = config.params, self._copies
        change = wire.UpdateCollection(collection_name=self.name)
        if (params.replication_factor, params.write_consistency_factor) != (wanted.replicas, wanted.write_consistency):
            change.params.replication_factor = wanted.replicas
            change.params.write_consistency_factor = wanted.write_consistency
        if config.hnsw_config.full_scan_threshold != (scanned := layout.scanned_kilobytes(self._space)):
            change.hnsw_config.full_scan_threshold = scanned
        if not config.quantization_config.HasField("scalar"):
            change.quantization_config.scalar.CopyFrom(_quantization())
        if not params.vectors_config.params_map.map[layout.DENSE].on_disk:
            change.vectors_config.params_map.map[layout.DENSE].on_disk = True
        if len(change.ListFields()) > 1:
            _log.warning("%s is brought to what the settings want: %s", self.name, str(change).replace("\n", " "))
            await self._nodes.write("Collections/Update", change)
        if params.shard_number != wanted.shards:
            _log.warning(
                "%s has %d shards, and index.shards is %d: their number is fixed when a collection is made. It works on as it "
                "is; to change it, index again with another index.collection_prefix.",
                self.name, params.shard_number, wanted.shards,
            )  # fmt: skip


def missing(copies: list[Replica], peers: set[int], replicas: int) -> list[tuple[Replica, int]]:
    """Copies to make: an active source, and the peer that is to hold another one."""
    load = Counter(copy.peer for copy in copies)
    wanted = []
    for shard in sorted({copy.shard for copy in copies}):
        holders = {copy.peer for copy in copies if copy.shard == shard}
        source = next((copy for copy in copies if copy.shard == shard and copy.state == "Active"), None)
        while source and len(holders) < replicas and holders < peers:
            target = min(peers - holders, key=lambda peer: (load[peer], peer))
            wanted.append((source, target))
            holders.add(target)
            load[target] += 1
    return wanted


def _replicas(answer: wire.CollectionClusterInfoResponse) -> list[Replica]:
    here = [Replica(shard.shard_id, answer.peer_id, wire.ReplicaState.Name(shard.state)) for shard in answer.local_shards]
    elsewhere = [Replica(shard.shard_id, shard.peer_id, wire.ReplicaState.Name(shard.state)) for shard in answer.remote_shards]
    return sorted(here + elsewhere)


def _payload_indexes() -> dict[str, wire.CreateFieldIndexCollection]:
    """By field, without the collection's name."""
    indexes = {
        field: wire.CreateFieldIndexCollection(
            wait=True, field_name=field, field_type=wire.FieldType.FieldTypeKeyword,
            field_index_params=wire.PayloadIndexParams(
                keyword_index_params=wire.KeywordIndexParams(
                    is_tenant=field == layout.REPOSITORY, on_disk=field not in layout.IN_MEMORY
                )
            ),
        )
        for field in layout.KEYWORDS
    }  # fmt: skip
    indexes[layout.GENERATION] = wire.CreateFieldIndexCollection(
        wait=True, field_name=layout.GENERATION, field_type=wire.FieldType.FieldTypeInteger
    )
    return indexes


def _quantization() -> wire.ScalarQuantization:
    return wire.ScalarQuantization(type=wire.QuantizationType.Int8, quantile=layout.QUANTILE, always_ram=True)


def _typed(value: object) -> dict[str, Any]:
    return {"integer_value": value} if isinstance(value, int) else {"string_value": str(value)}
