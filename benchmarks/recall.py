"""Recall@10 of the chunk indexes as shipped, against exact search, when a question may touch few or many repositories.

Clustered unit vectors over 200 repositories of uneven sizes, all seeded. Exact is numpy over every vector in scope. Both
stores are real: a Qdrant server (graph built, collection green) and the embedded shard. Ends with 1 if a cell is below 0.99.

    python benchmarks/recall.py [--points 100000] [--queries 100]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.adapters.qdrant_edge import EdgeChunkIndex
from nearcode.domain.chunk import Chunk, point_id
from nearcode.domain.index import DenseQuery, IndexSpace, ModelProfile, Point, Sparse
from nearcode.domain.principal import Principal, Scope

from tests.servers import eventually, qdrant_server

REPOSITORIES = 200
FILTERS = (1, 5, 20, 100, 200)
DIMENSIONS = 256
TOP = 10
WANTED = 0.99
SPACE = IndexSpace("completion", ModelProfile("recall", DIMENSIONS, static=True))
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """Vectors of unit length with the repository of each, and points made of them."""

    vectors: Matrix
    owners: NDArray[np.int64]
    points: list[Point]


@dataclass(frozen=True)
class Cell:
    """What one store did under one filter; milliseconds of a search."""

    recall: float
    median: float
    slowest: float


def unit(vectors: NDArray[Any]) -> Matrix:
    scaled: Matrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def make(count: int, seed: int = 1) -> Data:
    """Each repository has topics of its own and shares others, as code does; sizes fall like 1/rank."""
    random = np.random.default_rng(seed)
    sizes = 1 / np.arange(1, REPOSITORIES + 1) ** 0.8
    owners = random.choice(REPOSITORIES, count, p=sizes / sizes.sum())
    shared = random.standard_normal((300, DIMENSIONS))
    own = random.standard_normal((REPOSITORIES, 20, DIMENSIONS))
    topics = np.where(
        random.random(count)[:, None] < 0.4,
        shared[random.integers(0, len(shared), count)],
        own[owners, random.integers(0, own.shape[1], count)],
    )
    vectors = unit(topics + 0.8 * random.standard_normal((count, DIMENSIONS)))
    return Data(vectors, owners, [point(number, int(owners[number]), vectors[number]) for number in range(count)])


def point(number: int, owner: int, vector: Matrix) -> Point:
    chunk = Chunk(f"r{owner}", f"src/f{number // 15}.py", f"b{number // 15}", number % 15, "python", "function", 1, 9, "pass")
    lexical = Sparse(np.array([number % 1000], np.uint32), np.ones(1, np.float32))
    return Point(point_id(chunk, SPACE.profile.name), chunk, vector, lexical, ("main",), 1)


def questions(data: Data, repositories: int, count: int) -> list[tuple[Scope, Matrix, set[str]]]:
    """Scopes of this many repositories, vectors near some of their chunks, and the ten chunks that are truly nearest."""
    random = np.random.default_rng(repositories)
    asked = []
    for _ in range(count):
        chosen = random.choice(REPOSITORIES, repositories, replace=False)
        rows = np.flatnonzero(np.isin(data.owners, chosen))
        near = data.vectors[random.choice(rows)] + 0.6 * random.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
        vector = unit(near[None, :])[0]
        best = rows[np.argsort(-(data.vectors[rows] @ vector), kind="stable")[:TOP]]
        names = frozenset(f"r{repository}" for repository in chosen)
        asked.append((Principal("bench", 1, names).scope(), vector, {data.points[row].id for row in best}))
    return asked


async def measure(index: QdrantChunkIndex | EdgeChunkIndex, asked: list[tuple[Scope, Matrix, set[str]]]) -> Cell:
    found, times = 0, []
    for scope, vector, _ in asked[:5]:
        await index.search(scope, [DenseQuery(vector, TOP)])
    for scope, vector, best in asked:
        began = time.perf_counter()
        (hits,) = await index.search(scope, [DenseQuery(vector, TOP)])
        times.append((time.perf_counter() - began) * 1e3)
        found += len(best & {hit.id for hit in hits})
    return Cell(found / sum(len(best) for _, _, best in asked), float(np.median(times)), float(np.percentile(times, 99)))


async def run(count: int, queries: int, folder: Path) -> bool:
    data = make(count)
    asked = {filters: questions(data, filters, queries) for filters in FILTERS}
    with qdrant_server(folder / "server") as server:
        graph = QdrantChunkIndex(SPACE, server.url, grpc_port=server.ports["grpc"], seconds=60)
        await load("server", graph, data.points)
        await eventually(graph.indexed, 900, "the graph is still being built")
        table = {"server": [await measure(graph, asked[filters]) for filters in FILTERS]}
        await graph.close()
    edge = EdgeChunkIndex(SPACE, folder / "edge")
    await load("edge", edge, data.points)
    table["edge"] = [await measure(edge, asked[filters]) for filters in FILTERS]
    await edge.close()
    return show(table, count, queries)


async def load(name: str, index: QdrantChunkIndex | EdgeChunkIndex, points: list[Point]) -> None:
    began = time.perf_counter()
    await index.open()
    await index.upsert(points)
    print(f"{name}: {len(points):,} points stored in {time.perf_counter() - began:.1f} s", file=sys.stderr)


def show(table: dict[str, list[Cell]], count: int, queries: int) -> bool:
    print(f"Recall@{TOP}, {count:,} points, {REPOSITORIES} repositories, {queries} queries a cell; milliseconds p50 / p99")
    print("repositories".rjust(12), *(name.rjust(26) for name in table))
    for row, filters in enumerate(FILTERS):
        cells = (cells[row] for cells in table.values())
        print(f"{filters:12d}", *(f"{cell.recall:.3f}  {cell.median:6.1f} / {cell.slowest:6.1f}".rjust(26) for cell in cells))
    return all(cell.recall >= WANTED for cells in table.values() for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(run(options.points, options.queries, Path(folder)))
    sys.exit(0 if good else f"a cell is below {WANTED}")


if __name__ == "__main__":
    main()
