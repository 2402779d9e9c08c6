"""The chunk index in a Qdrant server: races, restarts, keys, lost collections."""

import asyncio
import socket
import uuid
from pathlib import Path

import pytest
from nearcode.adapters import qdrant_layout as layout
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.index import DenseQuery, IndexSpace, ModelProfile
from qdrant_client import grpc as wire

from tests.contract.chunk_points import SPACE, Maker, scope, stored_ids
from tests.servers import Server, eventually, free_port, qdrant_server


def connect(server: Server, prefix: str = "", seconds: float = 10.0) -> QdrantChunkIndex:
    return QdrantChunkIndex(
        SPACE, server.url, collection_prefix=prefix or f"t{uuid.uuid4().hex}", grpc_port=server.ports["grpc"], seconds=seconds
    )


async def test_processes_that_open_at_once_all_succeed(qdrant: Server) -> None:
    indexes = [connect(qdrant, "race") for _ in range(5)]
    await asyncio.gather(*(index.open() for index in indexes))
    await indexes[0].upsert([Maker().point()])
    await indexes[1].open()
    assert len(await stored_ids(indexes[4])) == 1
    for index in indexes:
        await index.close()


async def test_a_server_that_was_killed_has_everything_when_it_is_back(tmp_path: Path) -> None:
    with qdrant_server(tmp_path) as server:
        index = connect(server)
        await index.open()
        points = Maker().many(600, ["r1"])
        await index.upsert(points)
        server.kill()
        with pytest.raises(Unavailable, match="does not answer") as failed:
            await index.search(scope("r1"), [DenseQuery(points[0].vector, 1)])
        assert failed.value.reason is Reason.INDEX_UNAVAILABLE
        assert not await index.healthy()
        server.start()
        await eventually(index.healthy, 10, "the server is back, but the index does not find it")
        assert await stored_ids(index) == sorted(point.id for point in points)
        await index.close()


async def test_nobody_listening_is_said_at_open() -> None:
    index = QdrantChunkIndex(SPACE, f"http://127.0.0.1:{free_port()}", grpc_port=free_port(), seconds=2)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        await index.open()
    await index.close()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
async def test_a_wrong_key_is_said_and_a_right_one_opens(tmp_path: Path) -> None:
    with qdrant_server(tmp_path, api_key="right") as server:
        for key in (None, "wrong"):
            index = QdrantChunkIndex(SPACE, server.url, api_key=key, grpc_port=server.ports["grpc"])
            with pytest.raises(Unavailable, match="refuses the API key"):
                await index.open()
            await index.close()
        index = QdrantChunkIndex(SPACE, server.url, api_key="right", grpc_port=server.ports["grpc"])
        await index.open()
        assert await index.healthy()
        await index.close()


async def test_a_lost_collection_is_said_and_opening_makes_it_again(qdrant: Server) -> None:
    index, other = connect(qdrant, "lost"), connect(qdrant, "lost")
    await index.open()
    await other.open()
    await other.delete()
    with pytest.raises(Unavailable, match="lost the collection"):
        await index.upsert([Maker().point()])
    assert not await index.healthy()
    await index.open()
    await index.upsert([Maker().point()])
    await index.close()
    await other.close()


async def test_a_collection_of_a_newer_nearcode_is_refused_with_the_cure(
    qdrant: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer, this = connect(qdrant, "newer"), connect(qdrant, "newer")
    with monkeypatch.context() as later:
        later.setattr(layout, "SCHEMA", layout.SCHEMA + 1)
        await newer.open()
    with pytest.raises(Conflict, match=r"made by a newer nearcode.*Upgrade this process.*collection_prefix") as refused:
        await this.open()
    assert refused.value.reason is Reason.INDEX_MISMATCH
    assert await this.exists()
    for index in (newer, this):
        await index.close()


async def test_a_collection_of_an_older_nearcode_is_refused_with_the_cure(
    qdrant: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, this = connect(qdrant, "older"), connect(qdrant, "older")
    await older.open()
    monkeypatch.setattr(layout, "SCHEMA", layout.SCHEMA + 1)
    with pytest.raises(Conflict, match=r"schema is 1, not 2.*index again"):
        await this.open()
    for index in (older, this):
        await index.close()


async def test_an_alias_moves_between_collections_in_one_step_and_back(qdrant: Server) -> None:
    spaces = [IndexSpace("chat", ModelProfile(name, 16)) for name in ("blue", "green")]
    blue, green = (QdrantChunkIndex(s, qdrant.url, collection_prefix="swap", grpc_port=qdrant.ports["grpc"]) for s in spaces)
    for index in (blue, green):
        await index.open()
    assert await blue.aliased() is None
    seen = set()
    swapping = asyncio.create_task(_swap(blue, green))
    while not swapping.done():
        seen.add(await blue.aliased())
    assert seen - {None} <= {blue.collection, green.collection}
    await swapping
    assert await green.aliased() == blue.collection
    await green.delete()
    assert not await green.exists()
    assert await blue.exists()
    for index in (blue, green):
        await index.close()


async def _swap(blue: QdrantChunkIndex, green: QdrantChunkIndex) -> None:
    await blue.publish_alias()
    for _ in range(5):
        await green.publish_alias()
        await blue.publish_alias()


async def test_points_of_a_repository_are_counted(qdrant: Server) -> None:
    index = connect(qdrant)
    await index.open()
    points = Maker().many(30, ["r1", "r2"])
    await index.upsert(points)
    assert await index.count("r1") == sum(point.chunk.repository == "r1" for point in points)
    assert await index.count("nobody") == 0
    await index.close()


async def test_of_several_addresses_one_that_answers_is_enough(qdrant: Server) -> None:
    """Loopback has more addresses than 127.0.0.1; nobody listens on the others."""
    port = qdrant.ports["http"]
    urls = f"http://127.0.0.7:{port}, {qdrant.url}, http://127.0.0.8:{port}"
    prefix = f"t{uuid.uuid4().hex}"
    for _ in range(4):  # the first address to ask is drawn by lot
        index = QdrantChunkIndex(SPACE, urls, collection_prefix=prefix, grpc_port=qdrant.ports["grpc"])
        await index.open()
        point = Maker().point()
        await index.upsert([point])
        (hits,) = await index.search(scope("r1"), [DenseQuery(point.vector, 1)])
        assert [hit.id for hit in hits] == [point.id]
        assert await index.healthy()
        await index.close()


async def test_a_silent_node_holds_up_one_call_and_not_the_next(tmp_path: Path, qdrant: Server) -> None:
    with socket.create_server(("127.0.0.9", qdrant.ports["grpc"])):  # connects, and never says anything
        urls = f"http://127.0.0.9:{qdrant.ports['http']},{qdrant.url}"
        index = QdrantChunkIndex(SPACE, urls, collection_prefix="silent", grpc_port=qdrant.ports["grpc"], seconds=4)
        await index.open()
        for _ in range(2):
            index._nodes._good = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await index.search(scope("r1"), [DenseQuery(Maker().vector(), 1)])
            async with asyncio.timeout(3):
                assert await index.search(scope("r1"), [DenseQuery(Maker().vector(), 1)]) == [[]]
        await index.close()


async def test_a_collection_of_earlier_settings_is_brought_to_those_of_now(qdrant: Server) -> None:
    index = connect(qdrant, "plain")
    dense = wire.VectorParams(size=16, distance=wire.Distance.Cosine)
    request = wire.CreateCollection(
        collection_name=index.collection,
        vectors_config=wire.VectorsConfig(params_map=wire.VectorParamsMap(map={layout.DENSE: dense})),
        sparse_vectors_config=wire.SparseVectorConfig(map={layout.LEXICAL: wire.SparseVectorParams()}),
        metadata={"schema": wire.Value(integer_value=1), "profile": wire.Value(string_value=SPACE.profile.name)},
    )
    await index._nodes.write("Collections/Create", request)
    await index.open()
    config = (await index._store.info()).config
    assert config.quantization_config.HasField("scalar")
    assert config.hnsw_config.full_scan_threshold == layout.scanned_kilobytes(SPACE)
    assert config.params.vectors_config.params_map.map[layout.DENSE].on_disk
    await index.close()
