"""A Qdrant server with many repositories: how fast it fills, how fast and how well a caller who may read some is answered.

    python -m benchmarks.server_scale --packages index.json --json figures.json
    python -m benchmarks.server_scale --packages index.json --repositories 30 --chunks 30000 --readable 5   # a tenth
    python -m benchmarks.server_scale --packages index.json --folder FOLDER                                 # keeps the index

`index.json` lists public packages (`training.embedder` fetches them); each is a repository. They are indexed by the whole
engine in one process, with NATS and Qdrant as servers beside it; all of them share this machine's cores. At the end the first
tenth of them is indexed once more, as other repositories: the same files, into a server that is full by then. No vector is
remembered. Questions are what documentation in the packages says, cursors are places in their functions. Every draw is seeded.
Exact search is Qdrant's own (`exact = true`, originals instead of int8 vectors) under the same filter; a hit counts as found if
it scores as much as the tenth exact one, for ties have no order. Times are wall times: run it on an idle machine.
"""

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from nearcode import settings
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.app import App
from nearcode.domain.languages import language_of

from benchmarks.index_size import disk, memory
from benchmarks.scale_asking import SEED, cpu, lanes, questions, scopes, whole
from tests import servers
from tests.servers import Server, eventually, nats_server, qdrant_server

SERVICES = ("ingestion", "chunking", "embedding", "retrieval")
FEWEST_FILES = 8
LARGEST_FILE = 300_000
BYTES_A_CHUNK = 760
"""Of source, mean over these packages: says how many packages make up as many chunks as are wanted."""
AT_ONCE = 6
"""Repositories indexed at once."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package to index: its folder, source files and their bytes."""

    name: str
    folder: Path
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Sample:
    """How far the load has come: seconds since its start, files and chunks done, CPU seconds of the engine and of Qdrant."""

    seconds: float
    files: int
    chunks: int
    engine: float
    qdrant: float


def packages(index: Path, count: int, chunks: int) -> list[Package]:
    """As many packages, in an order that depends on their names alone, as hold about as many chunks: very large ones are left
    out until the sum fits."""
    found = [_measured(one) for one in json.loads(index.read_text())]
    found.sort(key=lambda one: sha256(f"{SEED} {one.name}".encode()).digest())
    for most in sorted({one.files for one in found}, reverse=True):
        chosen = [one for one in found if FEWEST_FILES <= one.files <= most][:count]
        if len(chosen) == count and sum(one.size for one in chosen) <= chunks * BYTES_A_CHUNK:
            return even(chosen)
    raise SystemExit(f"{index} has no {count} packages with about {chunks} chunks in all: take more, or fewer repositories")


def even(chosen: Sequence[Package]) -> list[Package]:
    """Ordered so that each tenth has about as many files and bytes, and begins with its largest packages: else one of long
    files, or one that ends with a single large package, would look slow."""
    files, size = sum(one.files for one in chosen), sum(one.size for one in chosen)
    tenths: list[list[Package]] = [[] for _ in range(10)]
    held = np.zeros((10, 2))  # shares of all files and bytes
    for package in sorted(chosen, key=lambda one: -(one.files / files + one.size / size)):
        share = np.array((package.files / files, package.size / size))
        least = int(np.argmin(held @ share))
        held[least] += share
        tenths[least].append(package)
    return [package for tenth in tenths for package in tenth]


def _measured(one: dict[str, str]) -> Package:
    folder = Path(one["path"])
    sizes = [path.stat().st_size for path in folder.rglob("*") if language_of(path.name) and path.is_file()]
    kept = [size for size in sizes if size <= LARGEST_FILE]
    return Package(f"{one['registry']}-{folder.name}", folder, len(kept), sum(kept))


# Filling


async def load(app: App, chosen: Sequence[Package], server: Server, samples: list[Sample]) -> dict[str, str]:
    """Indexes the packages, a few at once; their repositories by name. Adds samples of the way there to those of what was
    indexed before."""
    ingestion, ids, before = await app.local_ingestion(), dict[str, str](), samples[-1]
    began, waiting, running = time.perf_counter() - before.seconds, list(reversed(chosen)), dict[str, Package]()
    done = [before.files, before.chunks]
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            package = waiting.pop()
            repository = ids[package.name] = (await ingestion.connect(package.folder.as_uri())).id
            await ingestion.sync(repository)
            running[repository] = package
        now = list(done)
        for repository, package in list(running.items()):
            status = await ingestion.get(repository)
            if status.error:
                raise SystemExit(f"{package.folder}: {status.error}")
            if status.state == "ready" and not status.behind_since:
                del running[repository]
                done = [done[0] + status.files, done[1] + status.chunks]
            files, chunks = status.progress.files_done, status.progress.chunks_done
            now = [now[0] + (files or status.files), now[1] + (chunks or status.chunks)]
        samples.append(Sample(time.perf_counter() - began, now[0], now[1], _engine_cpu(), cpu(server.pid)))
        print(f"\r{len(chosen) - len(waiting)} repositories, {now[0]:,} files, {now[1]:,} chunks", end="", file=sys.stderr)
        await asyncio.sleep(0.2)
    print(file=sys.stderr)
    return ids


def copied(chosen: Sequence[Package], folder: Path) -> list[Package]:
    """The same packages, as other folders."""
    return [replace(one, folder=Path(shutil.copytree(one.folder, folder / one.name, dirs_exist_ok=True))) for one in chosen]


def _engine_cpu() -> float:
    """Of this process and its parsers; the servers are children, too, and are left out."""
    return cpu(psutil.Process().pid) + sum(
        cpu(child.pid) for child in psutil.Process().children(True) if "python" in child.name()
    )


def tenths(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """What each tenth of the files took."""
    rows, last, total = [], samples[0], samples[-1].files
    for number in range(1, 11):
        at = next(sample for sample in samples if sample.files >= total * number / 10)
        rows.append(between(last, at))
        last = at
    return rows


def between(last: Sample, at: Sample) -> dict[str, float]:
    """What the way from one sample to another took."""
    files, chunks = max(1, at.files - last.files), at.chunks - last.chunks
    seconds = max(at.seconds - last.seconds, 0.001)
    return {
        "files": files,
        "chunks": chunks,
        "seconds": round(seconds, 1),
        "files_a_second": round(files / seconds, 1),
        "chunks_a_second": round(chunks / seconds, 1),
        "cpu_ms_a_file": round((at.engine + at.qdrant - last.engine - last.qdrant) / files * 1e3, 2),
        "engine_cpu_ms_a_chunk": round((at.engine - last.engine) / max(1, chunks) * 1e3, 3),
        "qdrant_cpu_ms_a_chunk": round((at.qdrant - last.qdrant) / max(1, chunks) * 1e3, 3),
    }


async def stored(index: QdrantChunkIndex, server: Server, folder: Path, idle: dict[str, int]) -> dict[str, Any]:
    """What lies in the server: points, segments, bytes of a point by part, on disk and in memory."""
    info = await index._store.info()
    used, points = disk(folder / "storage"), max(1, int(info.points_count))
    return {
        "points": points,
        "segments": int(info.segments_count),
        "disk_a_point": {part: round(size / points) for part, size in used.most_common()} | {"all": used.total() // points},
        "memory_a_point": memory_a_point(server, idle, points),
    }


def memory_a_point(server: Server, idle: dict[str, int], points: int) -> dict[str, int]:
    """Bytes more than the empty server had, by kind."""
    return {kind: round((size - idle[kind]) / points) for kind, size in memory(server).items()}


# The run


async def run(options: argparse.Namespace, folder: Path, server: Server, events: Server) -> dict[str, Any]:
    """Fills the server, unless it is filled, and asks it, by a process of retrieval alone. The server is restarted in between:
    what building graphs took of its memory is given back then."""
    chosen, empty = packages(options.packages, options.repositories, options.chunks), memory(server)
    overrides = {
        "home": str(folder / "home"),
        "embedding": {"chat": {"enabled": "off"}, "cache_bytes": 0},
        "ingestion": {"watch": False},
        "events": {"url": events.url, "monitor_url": events.monitor_url},
        "index": {"url": server.url, "grpc_port": server.ports["grpc"]},
    }
    configured, kept = settings.load(overrides=overrides), folder / "loaded.json"
    found = remembered(kept)
    if not found:
        async with App(configured, SERVICES) as app:
            found = await filled(app, chosen, server, folder)
            points = found["loading"]["chunks"] + found["loading"]["again"]["chunks"]
            found["loading"]["memory_a_point"] = memory_a_point(server, empty, points)
        remember(kept, found | {"empty": empty})
        server.stop()
        server.start()
    ids, figures = found["ids"], {"loading": found["loading"]}
    asked = questions({ids[one.name]: one.folder for one in chosen}, options.queries)
    async with App(configured, ("retrieval",)) as app:
        await app.warm()
        index = await app.index()
        assert isinstance(index, QdrantChunkIndex)
        figures["load_average"] = psutil.getloadavg()
        figures["retrieval"], queries = await whole(app, server, asked, scopes(list(ids.values()), options.readable))
        figures["index"] = await lanes(index, server, queries)
        figures["stored"] = await stored(index, server, folder / "qdrant", found.get("empty", empty))
    return figures


async def filled(app: App, chosen: Sequence[Package], server: Server, folder: Path) -> dict[str, Any]:
    """The repositories by package (`ids`), and how the load went. `folder` gets copies of what is indexed twice."""
    await app.warm()
    await app.start_workers()
    index = await app.index()
    assert isinstance(index, QdrantChunkIndex)
    samples, few = [Sample(0.0, 0, 0, _engine_cpu(), cpu(server.pid))], max(1, len(chosen) // 10)
    ids = await load(app, chosen[:few], server, samples)
    first = samples[-1]
    ids |= await load(app, chosen[few:], server, samples)
    loaded = len(samples)
    await load(app, copied(chosen[:few], folder / "again"), server, samples)
    began = time.perf_counter()
    await eventually(index.indexed, 7200, "the graph is still being built")
    figures = {
        "repositories": len(ids),
        "files": samples[loaded - 1].files,
        "chunks": samples[loaded - 1].chunks,
        "seconds": round(samples[loaded - 1].seconds, 1),
        "graph_seconds_after": round(time.perf_counter() - began, 1),
        "cpu_seconds": {"engine": round(_engine_cpu()), "qdrant": round(cpu(server.pid))},
        "tenths": tenths(samples[:loaded]),
        "first": between(samples[0], first),
        "again": between(samples[loaded - 1], samples[-1]),
    }
    show({"loading": figures})
    return {"ids": ids, "loading": figures}


def remembered(kept: Path) -> dict[str, Any] | None:
    """What an earlier run loaded into this folder."""
    found: dict[str, Any] | None = json.loads(kept.read_text()) if kept.exists() else None
    return found


def remember(kept: Path, loaded: dict[str, Any]) -> None:
    """For later runs."""
    kept.write_text(json.dumps(loaded))


def show(figures: dict[str, Any]) -> None:
    """Prints figures, a line each."""
    for name, value in _flat(figures):
        print(f"{name:<64}{value}")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and "p50" not in value and "files_a_second" not in value:
        for key, each in value.items():
            yield from _flat(each, f"{name} {key}".strip())
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, each in enumerate(value, 1):
            yield from _flat(each, f"{name} {number}")
    else:
        yield name, re.sub(r"[{}']", "", str(value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--repositories", type=int, default=300)
    parser.add_argument("--chunks", type=int, default=300_000, help="about how many")
    parser.add_argument("--readable", type=int, default=50, help="repositories that a caller may read")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--folder", type=Path, help="keep the servers' data here, and use what is there")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    servers.START_SECONDS = 600.0  # a server that holds much reads its graphs and its log before it answers
    with contextlib.ExitStack() as stack:
        folder = (options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        server = stack.enter_context(qdrant_server(folder / "qdrant"))
        events = stack.enter_context(nats_server(folder / "nats"))
        figures = asyncio.run(run(options, folder, server, events))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
