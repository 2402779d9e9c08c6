"""What docs/operations.md says about a Qdrant cluster, done: backup, restore, a lost disk, more copies."""

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nearcode.adapters.qdrant import QdrantChunkIndex

from tests.cluster.qdrant_load import connect
from tests.contract.chunk_points import Maker, stored_ids
from tests.servers import Server, eventually
from tests.servers_cluster import QdrantCluster, address, qdrant_cluster

UPLOADS = 3
"""A restore may have to be repeated, as the document says."""
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantCluster]:
    with qdrant_cluster(tmp_path_factory.mktemp("qdrant")) as cluster:
        yield cluster


def commands(word: str) -> str:
    """The block of shell commands in the document that holds this word."""
    (block,) = [block for block in re.findall(r"```sh\n(.*?)```", OPERATIONS.read_text("utf-8"), re.S) if word in block]
    return str(block)


async def run(script: str, **variables: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-ec", script], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


async def test_a_collection_that_was_backed_up_comes_back_after_it_was_deleted(cluster: QdrantCluster, tmp_path: Path) -> None:
    index = connect(cluster, prefix="restored")
    await index.open()
    points = Maker().many(2000, ["r1"])
    await index.upsert(points)
    await index.publish_alias()
    here = {"NODE": address(cluster.nodes[0]), "COLLECTION": index.collection, "FILE": str(tmp_path / "backup.snapshot")}
    await run(commands("/snapshots?wait=true"), **here)
    await index.delete()
    assert not await index.exists()
    await index.close()
    index = connect(cluster, prefix="restored")  # not opened: nearcode's processes are stopped
    for _ in range(UPLOADS):
        await run(commands("/snapshots/upload"), **here)
        if await restored(cluster, index, len(points)):
            break
    else:
        pytest.fail(f"{UPLOADS} restores, and not every node has every point")
    assert await index.aliased() is None
    await index.publish_alias()
    assert await index.aliased() == index.collection
    await index.close()


async def restored(cluster: QdrantCluster, index: QdrantChunkIndex, count: int) -> bool:
    """Whether all copies are there and every node counts so many points, within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if await index.replicated() and all([await counted(index, node) == count for node in cluster.nodes]):
            return True
        await asyncio.sleep(0.2)
    return False


async def counted(index: QdrantChunkIndex, node: Server) -> int:
    """What a node answers to the document's question for the number of points."""
    said = await run(commands("/points/count"), NODE=address(node), COLLECTION=index.collection)
    return int(json.loads(said)["result"]["count"])


async def test_every_node_makes_a_snapshot(cluster: QdrantCluster) -> None:
    index = connect(cluster, prefix="snapshots")
    await index.open()
    await index.upsert(Maker().many(50, ["r1"]))
    names = await index.snapshot()
    assert sorted(names) == sorted(address(node) for node in cluster.nodes)
    assert all(name.startswith(index.collection) for name in names.values())
    await index.close()


async def test_a_collection_with_one_copy_gets_more_when_the_settings_ask_for_them(cluster: QdrantCluster) -> None:
    one = connect(cluster, prefix="more", replicas=1)
    await one.open()
    points = Maker().many(1500, ["r1"])
    await one.upsert(points)
    three = connect(cluster, prefix="more")
    assert not await three.replicated()
    await three.open()
    await eventually(three.replicated, 60, "a copy is still missing")
    for node in cluster.nodes:
        alone = connect(cluster, address(node), prefix="more")
        assert await stored_ids(alone) == sorted(point.id for point in points)
        await alone.close()
    await one.close()
    await three.close()


async def test_a_node_whose_disk_was_lost_is_brought_back_by_the_commands_of_the_document(cluster: QdrantCluster) -> None:
    index = connect(cluster, prefix="disk")
    await index.open()
    points = Maker().many(1000, ["r1"])
    await index.upsert(points)
    lost, living = cluster.nodes[2], cluster.nodes[0]
    peer = cluster.peer(lost)
    await asyncio.to_thread(cluster.erase, lost)
    await run(commands("cluster/peer"), LIVING=address(living), LOST_PEER=str(peer))
    await asyncio.to_thread(cluster.start_empty, lost, living)
    await eventually(index.replicated, 90, "a copy is still missing")
    alone = connect(cluster, address(lost), prefix="disk")
    assert await stored_ids(alone) == sorted(point.id for point in points)
    for each in (index, alone):
        await each.close()
