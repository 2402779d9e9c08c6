"""The chunk index in a Qdrant server: races, restarts, keys, lost collections."""

import asyncio
import uuid
from pathlib import Path

import pytest
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.index import DenseQuery

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
        index = connect(server, seconds=3)
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
