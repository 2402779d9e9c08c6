"""Writers and searchers on a Qdrant cluster that note what was acknowledged, what was not found and what failed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.domain.errors import NearcodeError
from nearcode.domain.index import DenseQuery, LexicalQuery, Point

from tests.contract.chunk_points import SPACE, Maker, scope
from tests.servers_cluster import QdrantCluster

WRITERS, SEARCHERS, BATCH = 3, 3, 25


@dataclass
class Load:
    """What happened so far. `acknowledged` are points by id; `unseen`, those that a search right then did not find."""

    acknowledged: dict[str, Point] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    searches: int = 0
    unseen: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=lambda: {"write": 0.0, "search": 0.0})

    def told(self) -> str:
        """The counts, for people."""
        slow = ", ".join(f"slowest {what} {seconds:.1f} s" for what, seconds in self.slowest.items())
        return (
            f"{len(self.acknowledged):,} points acknowledged, {self.searches:,} searches, {len(self.unseen)} unseen, "
            f"{len(self.errors)} errors; {slow}"
        )


def connect(cluster: QdrantCluster, url: str = "", prefix: str = "nearcode", replicas: int = 3) -> QdrantChunkIndex:
    """The index as an installation on three nodes has it."""
    return QdrantChunkIndex(
        SPACE, url or cluster.url, collection_prefix=prefix, grpc_port=cluster.grpc_port, seconds=20,
        replicas=replicas, write_consistency=min(replicas, 2), shards=2,
    )  # fmt: skip


@asynccontextmanager
async def load(cluster: QdrantCluster) -> AsyncIterator[Load]:
    """Runs writers and searchers, each with connections of its own, until the block ends."""
    state = Load()
    indexes = [connect(cluster) for _ in range(WRITERS + SEARCHERS)]
    await indexes[0].open()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_write(number, index, state, stop)) for number, index in enumerate(indexes[:WRITERS])]
    tasks += [asyncio.create_task(_search(index, state, stop)) for index in indexes[WRITERS:]]
    try:
        yield state
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        for index in indexes:
            await index.close()


async def grown(state: Load, by: int, seconds: float = 300.0) -> None:
    """Returns when so many more points were acknowledged."""
    wanted, deadline = len(state.acknowledged) + by, time.monotonic() + seconds
    while len(state.acknowledged) < wanted:
        assert time.monotonic() < deadline, f"writing stands still: {state.told()}; {state.errors[-3:]}"
        await asyncio.sleep(0.02)


async def _write(writer: int, index: QdrantChunkIndex, state: Load, stop: asyncio.Event) -> None:
    maker, number = Maker(seed=writer), 0
    while not stop.is_set():
        points = [maker.point(f"r{writer}", f"f{number}.py", f"b{number}", ordinal) for ordinal in range(BATCH)]
        began = time.monotonic()
        try:
            await index.upsert(points)
        except NearcodeError as error:
            state.errors.append(f"write after {time.monotonic() - began:.1f} s: {error}")
            continue
        state.slowest["write"] = max(state.slowest["write"], time.monotonic() - began)
        state.acknowledged.update((point.id, point) for point in points)
        state.order += [point.id for point in points]
        number += 1


async def _search(index: QdrantChunkIndex, state: Load, stop: asyncio.Event) -> None:
    """Looks for points that were acknowledged before: the newest, and any."""
    while not stop.is_set():
        if not state.order:
            await asyncio.sleep(0.02)
            continue
        recent = state.order[-BATCH:] if random.random() < 0.5 else state.order
        point = state.acknowledged[random.choice(recent)]
        began = time.monotonic()
        try:
            dense, lexical = await index.search(
                scope(point.chunk.repository), [DenseQuery(point.vector, 3, point.chunk.path), LexicalQuery(point.lexical, 3)]
            )
        except NearcodeError as error:
            state.errors.append(f"search after {time.monotonic() - began:.1f} s: {error}")
            continue
        state.searches += 1
        state.slowest["search"] = max(state.slowest["search"], time.monotonic() - began)
        if point.id not in {hit.id for hit in dense} or not lexical:
            state.unseen.append(f"{point.id} at {time.strftime('%H:%M:%S')}")
        await asyncio.sleep(0.005)
