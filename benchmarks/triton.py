"""Triton against onnxruntime in a child process: the same model, machine and chunks, in interleaved pairs.

    python benchmarks/triton.py                       # about two minutes on two idle cores
    python benchmarks/triton.py --chunks 300 --pairs 2 --json results.json

The chunks are this repository's own code. Exits with 1 if Triton's throughput is below 90 % of the direct one's.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from nearcode.adapters.onnx_embedder import OnnxEmbedder
from nearcode.adapters.triton_embedder import TritonEmbedder
from nearcode.chunking.outline import outline
from nearcode.domain.index import Embedder, FileTexts, ModelProfile
from nearcode.embedding.profiles import profile
from nearcode.embedding.reading import embedded_text
from nearcode.events.cutting import cut
from tritonclient.grpc.aio import InferenceServerClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.models import bge_small  # noqa: E402 - the checkout is not a package
from tests.servers import Server  # noqa: E402
from tests.triton_models import bge_small_environment, own_model  # noqa: E402
from tests.triton_server import triton_server  # noqa: E402

MODEL = "bge-small-en-v1-5"
SEED = 20261121
ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds on the clock and of all processors that embedding some chunks took."""

    chunks: int
    seconds: float
    cpu_seconds: float


def chunks_of(folder: Path, model: ModelProfile, count: int) -> list[FileTexts]:
    """Files with together `count` chunks, drawn with a seed."""
    paths = sorted(path for name in ("services", "tests") for path in (folder / name).rglob("*.py"))
    random.Random(SEED).shuffle(paths)
    files: list[FileTexts] = []
    for path in paths:
        name, source = str(path.relative_to(folder)), path.read_bytes()
        found = outline(name, source)
        found.file.path = name
        texts = tuple(embedded_text(chunk, model) for chunk in cut("r", found, source))
        files.append(FileTexts(name, texts[:count]))
        count -= len(files[-1].texts)
        if not count:
            return files
    raise SystemExit(f"the repository has {count} chunks too few")


def parts(files: Sequence[FileTexts], count: int) -> list[list[FileTexts]]:
    """Dealt out like cards, so that all parts are alike."""
    return [list(files[start::count]) for start in range(count)]


@contextmanager
def cpu_of(pid: int) -> Iterator[list[float]]:
    """Adds the processor seconds of a process and its children."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]

    def total() -> float:
        return sum(process.cpu_times().user + process.cpu_times().system for process in family)

    spent: list[float] = []
    began = total()
    yield spent
    spent.append(total() - began)


async def measure(embedder: Embedder, pid: int, files: Sequence[FileTexts]) -> tuple[Run, np.ndarray[Any, Any]]:
    with cpu_of(pid) as cpu:
        began = time.perf_counter()
        vectors = await embedder.embed_files(files)
        seconds = time.perf_counter() - began
    return Run(sum(map(len, vectors)), seconds, cpu[0]), np.concatenate(vectors)


async def compare(server: Server, count: int, pairs: int) -> dict[str, Any]:
    model = profile(MODEL)
    direct = OnnxEmbedder(model, bge_small())
    address = f"127.0.0.1:{server.ports['grpc']}"
    triton = TritonEmbedder(model, f"grpc://{address}", MODEL, seconds=120.0)
    runs: dict[str, list[Run]] = {"direct": [], "triton": []}
    worst = 1.0
    try:
        await asyncio.gather(direct.load(), triton.open())
        both: dict[str, tuple[Embedder, int]] = {"direct": (direct, direct.pids[0]), "triton": (triton, server.pid)}
        for number, files in enumerate(parts(chunks_of(ROOT, model, count), pairs)):
            vectors = []
            for name in sorted(both, reverse=bool(number % 2)):
                run, found = await measure(*both[name], files)
                runs[name].append(run)
                vectors.append(found)
                print(f"pair {number + 1}/{pairs}  {name:<8}{run.chunks / run.seconds:8.1f} chunks/s", flush=True)
            worst = min(worst, float((vectors[0] * vectors[1]).sum(1).min()))
        histogram = await batch_sizes(address)
    finally:
        await asyncio.gather(direct.close(), triton.close())
    return figures(runs) | {"smallest cosine between both": worst, "batch sizes": histogram}


async def batch_sizes(address: str) -> dict[int, int]:
    """Batch size to number of executions, as Triton counted them."""
    async with InferenceServerClient(address) as client:
        [found] = (await client.get_inference_statistics(MODEL)).model_stats
    return {int(entry.batch_size): int(entry.compute_infer.count) for entry in found.batch_stats}


def figures(runs: dict[str, list[Run]]) -> dict[str, Any]:
    def rate(name: str, seconds: str) -> float:
        return sum(run.chunks for run in runs[name]) / sum(float(getattr(run, seconds)) for run in runs[name])

    ratios = [direct.seconds / triton.seconds for direct, triton in zip(runs["direct"], runs["triton"], strict=True)]
    return {
        "chunks": sum(run.chunks for run in runs["direct"]),
        "direct, chunks/s": rate("direct", "seconds"),
        "triton, chunks/s": rate("triton", "seconds"),
        "ratio": rate("triton", "seconds") / rate("direct", "seconds"),
        "ratio, median of pairs": statistics.median(ratios),
        "ratio, smallest of pairs": min(ratios),
        "direct, chunks/CPU second": rate("direct", "cpu_seconds"),
        "triton, chunks/CPU second": rate("triton", "cpu_seconds"),
        "ratio by CPU time": rate("triton", "cpu_seconds") / rate("direct", "cpu_seconds"),
        "runs": {name: [asdict(run) for run in each] for name, each in runs.items()},
    }


def show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        if isinstance(value, int | float):
            print(f"{name:<32}{value:10.3f}" + (f"   >= {ENOUGH}" if name == "ratio" else ""))
    print("batch size: executions")
    most = max(result["batch sizes"].values())
    for size, count in sorted(result["batch sizes"].items()):
        print(f"{size:>10}: {count:4d} {'#' * max(1, round(40 * count / most))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1536)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = own_model(Path(folder, "models"), MODEL)
        with triton_server(Path(folder), repository, environment=bge_small_environment()) as server:
            result = asyncio.run(compare(server, args.chunks, args.pairs))
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(result["ratio"] < ENOUGH)


if __name__ == "__main__":
    main()
