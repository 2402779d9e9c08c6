"""A Qdrant cluster under load: nodes killed, a disk erased. Nothing acknowledged is lost, no caller sees an error."""

import asyncio
from collections.abc import Iterator, Set
from pathlib import Path

import pytest
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.domain.errors import Unavailable

from tests.cluster.qdrant_load import WRITERS, Load, connect, grown, load
from tests.cluster.trials import trials
from tests.contract.chunk_points import stored_ids
from tests.servers import eventually
from tests.servers_cluster import QdrantCluster, address, qdrant_cluster

POINTS = 20_000
KILLS = 3
RECOVERY_SECONDS = 180.0
"""Copies of 20,000 points come back in seconds; the rest is for busy machines."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[QdrantCluster]:
    with qdrant_cluster(tmp_path) as cluster:
        yield cluster


async def missing(cluster: QdrantCluster, acknowledged: Set[str]) -> dict[str, int]:
    """How many of these points each node does not have, asked for itself, by its address."""
    lacking = {}
    for node in cluster.nodes:
        index = connect(cluster, address(node))
        stored = {point for writer in range(WRITERS) for point in await stored_ids(index, f"r{writer}")}
        lacking[address(node)] = len(acknowledged - stored)
        await index.close()
    return lacking


async def healed(cluster: QdrantCluster, index: QdrantChunkIndex, state: Load) -> None:
    """Returns when each node has all points that were acknowledged until now. That all copies are called active is not enough:
    until the cluster has a leader again, nobody has written down that the killed node missed something."""
    acknowledged = set(state.acknowledged)

    async def whole() -> bool:
        try:
            return await index.replicated() and not any((await missing(cluster, acknowledged)).values())
        except Unavailable:  # a node says it is ready a moment before it takes gRPC
            return False
        finally:
            await asyncio.sleep(0.2)

    await eventually(whole, RECOVERY_SECONDS, "a copy is still missing, or points in it")


async def test_nodes_killed_under_load_lose_nothing_and_nobody_sees_it(cluster: QdrantCluster) -> None:
    kills = trials(KILLS)
    share = trials(POINTS, 1000) // (2 * kills)
    index = connect(cluster)
    async with load(cluster) as state:
        await grown(state, share)
        for number in range(kills):
            node = cluster.nodes[number % len(cluster.nodes)]
            await asyncio.to_thread(node.kill)
            await grown(state, share)
            await asyncio.to_thread(node.start)
            await healed(cluster, index, state)
            await grown(state, share)
    await healed(cluster, index, state)
    await index.close()
    lacking = await missing(cluster, state.acknowledged.keys())
    print(f"\nQdrant, {kills} nodes killed: {state.told()}; missing on each node: {list(lacking.values())}")
    assert not any(lacking.values())
    assert not state.errors, state.errors[:5]
    assert not state.unseen, state.unseen[:5]


async def test_a_node_whose_disk_is_erased_gets_everything_back_under_load(cluster: QdrantCluster) -> None:
    share = trials(POINTS, 1000) // 3
    index = connect(cluster)
    async with load(cluster) as state:
        await grown(state, share)
        node = cluster.nodes[1]
        peer = cluster.peer(node)
        await asyncio.to_thread(cluster.erase, node)
        await grown(state, share)
        await asyncio.to_thread(cluster.rejoin, node, peer)
        await healed(cluster, index, state)
        await grown(state, share)
    await healed(cluster, index, state)
    await index.close()
    lacking = await missing(cluster, state.acknowledged.keys())
    print(f"\nQdrant, one disk erased: {state.told()}; missing on each node: {list(lacking.values())}")
    assert not any(lacking.values())
    assert not state.errors, state.errors[:5]
    assert not state.unseen, state.unseen[:5]
