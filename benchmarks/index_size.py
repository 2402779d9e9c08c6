"""Bytes of a point in a Qdrant server, on disk by part and in memory, from real code: the source of docs/index-layout.md.

    python benchmarks/index_size.py PATH [--points 100000] [--dimensions 256]

PATH is a folder of source code; each of its subfolders is a repository. Other dimensions than the model's are filled with
random unit vectors: neither size nor graph depend on what a vector says.
"""

import argparse
import asyncio
import hashlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.adapters.static_embedder import StaticEmbedder
from nearcode.chunking.pool import ParserPool
from nearcode.domain.chunk import point_id
from nearcode.domain.index import DefinitionQuery, DenseQuery, IndexSpace, LaneQuery, LexicalQuery, ModelProfile, Point
from nearcode.domain.principal import Principal
from nearcode.domain.repository import FileVersion
from nearcode.embedding.profiles import profile
from nearcode.embedding.reading import read_files

from tests.servers import Server, eventually, qdrant_server

PARTS = {
    "original vectors": r"vector_storage-dense/(?!.*quantized)",
    "int8 vectors": r"quantized",
    "graph": r"vector_index-dense",
    "lexical vectors and their index": r"(vector_storage|vector_index)-lexical",
    "payload": r"payload_storage",
    "payload indexes": r"payload_index",
    "ids and versions": r"id_tracker|\.mappings|\.versions|mutable_",
    "write-ahead log": r"/wal/",
}


def sources(folder: Path) -> Iterator[tuple[str, list[tuple[FileVersion, bytes]]]]:
    """Groups of files of one repository."""
    for repository in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [file for file in sorted(repository.rglob("*.py")) if file.stat().st_size < 1_000_000]
        for start in range(0, len(files), 64):
            group = []
            for file in files[start : start + 64]:
                data = file.read_bytes()
                path, blob = str(file.relative_to(repository)), hashlib.sha1(data, usedforsecurity=False).hexdigest()
                group.append((FileVersion(path, blob, len(data)), data))
            yield repository.name, group


async def points(folder: Path, count: int, space: IndexSpace) -> list[Point]:
    """Points of real code, until there are enough."""
    embedder, parsers = StaticEmbedder(profile("nearcode-static-1")), ParserPool(2, 2.0, 120.0)
    random, made = np.random.default_rng(1), list[Point]()
    for repository, group in sources(folder):
        outlines = await parsers.outline(group)
        pairs = [(outline, data) for outline, (_, data) in zip(outlines, group, strict=True)]
        read = read_files(repository, pairs, embedder.profile)
        for file, vectors in zip(read, await embedder.embed_files([file.texts for file in read]), strict=True):
            if space.profile.dimensions != vectors.shape[1]:
                vectors = random.standard_normal((len(vectors), space.profile.dimensions)).astype(np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            for chunk, vector, lexical in zip(file.chunks, vectors, file.lexical, strict=True):
                made.append(Point(point_id(chunk, space.profile.name), chunk, vector, lexical, ("main",), 1, "0" * 55))
        if len(made) >= count:
            break
    await parsers.close()
    return made[:count]


def disk(folder: Path) -> Counter[str]:
    """Bytes on disk by part: blocks in use, not lengths of sparse files."""
    used: Counter[str] = Counter()
    for file in folder.rglob("*"):
        if file.is_file():
            part = next((name for name, pattern in PARTS.items() if re.search(pattern, str(file))), "other")
            used[part] += file.stat().st_blocks * 512
    return used


def memory(server: Server) -> dict[str, int]:
    """Bytes that the process holds of its own, and of files that the kernel may drop."""
    text = Path(f"/proc/{server.pid}/status").read_text()
    kinds = {"own": "RssAnon", "files": "RssFile"}
    return {name: int(re.search(rf"{kind}:\s+(\d+)", text)[1]) * 1024 for name, kind in kinds.items()}  # type: ignore[index]


async def searches(index: QdrantChunkIndex, made: list[Point]) -> None:
    """Median milliseconds of each lane, over 20 repositories and over all."""
    random = np.random.default_rng(2)
    names = sorted({point.chunk.repository for point in made})
    for label, chosen in (("20 repositories", names[:: max(1, len(names) // 20)]), ("all", names)):
        scope = Principal("bench", 1, frozenset(chosen)).scope()
        for lane in ("dense", "lexical", "definitions"):
            times = []
            for at in random.integers(0, len(made), 100):
                point = made[at]
                queries: dict[str, LaneQuery] = {
                    "dense": DenseQuery(point.vector, 50),
                    "lexical": LexicalQuery(point.lexical, 50),
                    "definitions": DefinitionQuery(point.chunk.definitions[:3] or ("main",), 50),
                }
                began = time.perf_counter()
                await index.search(scope, [queries[lane]])
                times.append((time.perf_counter() - began) * 1e3)
            print(f"  {lane:12} {label:16} {np.median(times):6.1f} / {np.percentile(times, 99):6.1f} ms")


async def run(folder: Path, count: int, dimensions: int) -> None:
    space = IndexSpace("size", ModelProfile("size", dimensions))
    made = await points(folder, count, space)
    text = sum(len(point.chunk.text.encode()) for point in made) / len(made)
    terms = sum(len(point.lexical.indices) for point in made) / len(made)
    print(f"{len(made):,} points of {dimensions} dimensions; means: {text:.0f} bytes of text, {terms:.0f} terms")
    with tempfile.TemporaryDirectory() as temporary, qdrant_server(Path(temporary)) as server:
        empty = memory(server)
        index = QdrantChunkIndex(space, server.url, grpc_port=server.ports["grpc"], seconds=60)
        await index.open()
        await index.upsert(made)
        await eventually(index.indexed, 900, "the graph is still being built")
        server.stop()
        server.start()
        await eventually(index.healthy, 60, "the server is not back")
        used = disk(Path(temporary, "storage"))
        for part, size in used.most_common():
            print(f"  {part:34}{size / len(made):8.0f} bytes a point")
        print(f"  {'disk, together':34}{used.total() / len(made):8.0f} bytes a point")
        await searches(index, made)
        now = memory(server)
        for kind in now:
            print(f"  memory, {kind:26}{(now[kind] - empty[kind]) / len(made):8.0f} bytes a point")
        await index.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=256)
    options = parser.parse_args()
    asyncio.run(run(options.path, options.points, options.dimensions))


if __name__ == "__main__":
    main()
