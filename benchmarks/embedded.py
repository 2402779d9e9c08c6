"""The embedded default on a real code base: index, change, search, memory, deadlines. Prints each figure with its limit.

    python benchmarks/embedded.py PATH            # e.g. an unpacked Django sdist
    python benchmarks/embedded.py PATH --places 100 --json results.json

PATH is copied first, for one file of it is changed. Times are wall time on this machine, whatever else runs on it; seconds of
the processor are told as well, which other programs change less.
"""

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from nearcode import engine, settings
from nearcode.domain.assistant import Assistant, Report, Sources
from nearcode.domain.repository import Workspace
from nearcode.domain.retrieval import CodeCursor

NEARCODE = [sys.executable, "-m", "nearcode"]
SEED = 20261121
QUESTIONS = 200
WARM_UP = 20
DEADLINES = (0.15, 0.5, 3.0)


class Figures:
    """Prints figures as they come and keeps them."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def add(self, name: str, value: float, unit: str, limit: str = "") -> None:
        self.kept[name] = round(value, 3)
        print(f"{name:<58}{value:10.3f} {unit:<8}{limit}", flush=True)


@contextmanager
def running(home: Path) -> Iterator[int]:
    """`nearcode run` on a home; yields its process id."""
    env = {**os.environ, "NEARCODE_HOME": str(home)}
    process = subprocess.Popen([*NEARCODE, "run", "--json"], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def command(home: Path, *arguments: str) -> str:
    env = {**os.environ, "NEARCODE_HOME": str(home)}
    return subprocess.run([*NEARCODE, *arguments], env=env, capture_output=True, text=True, check=True).stdout


def questions(code: Path, count: int) -> list[str]:
    """The first lines of docstrings, drawn with a seed: questions that the code base itself poses."""
    found = []
    for file in sorted(code.rglob("*.py")):
        for line in file.read_text("utf-8", "replace").splitlines():
            text = line.strip()
            if text.startswith('"""') and 20 < len(text) < 120:
                found.append(text.strip('" .'))
    return random.Random(SEED).sample(sorted(set(found)), count)


def places(code: Path, count: int) -> list[CodeCursor]:
    """Cursors in the middle of lines of code, drawn with a seed."""
    chance = random.Random(SEED)
    files = [file for file in sorted(code.rglob("*.py")) if file.stat().st_size > 2000]
    cursors: list[CodeCursor] = []
    while len(cursors) < count:
        file = chance.choice(files)
        text = file.read_text("utf-8", "replace")
        lines = text.splitlines(keepends=True)
        number = chance.randrange(10, len(lines))
        line = lines[number]
        if len(line.strip()) < 12 or line.lstrip().startswith(("#", '"')):
            continue
        at = len(line) - len(line.lstrip()) + chance.randrange(1, len(line.strip()) - 4)
        prefix = "".join(lines[:number]) + line[:at]
        suffix = line[at:] + "".join(lines[number + 1 :])
        cursors.append(CodeCursor(str(file.relative_to(code)), prefix, suffix))
    return cursors


async def search_times(assistant: Assistant, code: Path, asked: list[str]) -> dict[str, list[float]]:
    """Milliseconds of each search, after some to warm up: as a whole (`search`), of this process's processor, and by stage."""
    where = [Workspace((code.as_uri(),))]
    times: dict[str, list[float]] = defaultdict(list)
    for number, question in enumerate((*asked[:WARM_UP], *asked)):
        began, worked = time.perf_counter(), time.process_time()
        found = await assistant.search("local", where, question, 10, 0.0, 30.0)
        if number < WARM_UP:
            continue
        times["search"].append((time.perf_counter() - began) * 1e3)
        times["processor"].append((time.process_time() - worked) * 1e3)
        for stage in found.report.stages:
            times[f"stage {stage.name}"].append(stage.spent_ms)
    return times


def add_times(figures: Figures, where: str, times: dict[str, list[float]], limits: tuple[str, str]) -> None:
    """p50 and p99 of each."""
    for name, each in times.items():
        said = limits if name == "search" else ("", "")
        figures.add(f"{name} {where}, p50", statistics.median(each), "ms", said[0])
        figures.add(f"{name} {where}, p99", sorted(each)[math.ceil(0.99 * len(each)) - 1], "ms", said[1])


async def completed(assistant: Assistant, code: Path, cursor: CodeCursor, seconds: float) -> tuple[float, int, str, Report]:
    """Milliseconds until the last message, sources, text and report of one completion."""
    began, sources, text = time.perf_counter(), 0, ""
    report = Report("", "error")
    async for part in assistant.complete("local", Workspace((code.as_uri(),)), cursor, 0, 0, seconds):
        if isinstance(part, Sources):
            sources = len(part.snippets)
        elif isinstance(part, str):
            text += part
        else:
            report = part
    return (time.perf_counter() - began) * 1e3, sources, text, report


async def deadlines(assistant: Assistant, code: Path, count: int, figures: Figures) -> None:
    cursors = places(code, count)
    for cursor in cursors[:3]:
        await completed(assistant, code, cursor, 3.0)
    for seconds in DEADLINES:
        answers = [await completed(assistant, code, cursor, seconds) for cursor in cursors]
        times = sorted(answer[0] for answer in answers)
        name = f"{seconds * 1e3:.0f} ms"
        figures.add(f"{name}: p95", times[int(0.95 * (len(times) - 1))], "ms", f"<= {seconds * 1e3:.0f}")
        figures.add(f"{name}: largest", times[-1], "ms")
        with_sources = statistics.mean(answer[1] > 0 for answer in answers)
        figures.add(f"{name}: with sources", with_sources * 100, "%", ">= 95" if seconds == DEADLINES[0] else "")
        with_text = statistics.mean(bool(answer[2].strip()) for answer in answers)
        figures.add(f"{name}: with text", with_text * 100, "%", ">= 90" if seconds == DEADLINES[-1] else "")
        plans = Counter(answer[3].plan + (f" ({answer[3].degraded})" if answer[3].degraded else "") for answer in answers)
        print("   plans", dict(plans.most_common()))
        figures.kept[f"{name}: plans"] = dict(plans)


async def in_process(home: Path, code: Path, figures: Figures) -> None:
    async with engine.client(settings.load(None, {"home": home})) as client:
        times = await search_times(client.assistant, code, questions(code, QUESTIONS))
    add_times(figures, "in the process", times, ("<= 8", "<= 30"))


async def over_grpc(home: Path, code: Path, count: int, figures: Figures) -> None:
    async with engine.client(settings.load(None, {"home": home})) as client:
        assert client.running
        times = await search_times(client.assistant, code, questions(code, QUESTIONS))
        add_times(figures, "over gRPC", {"search": times["search"]}, ("<= 30", ""))
        await deadlines(client.assistant, code, count, figures)


PROGRAMS = {
    "embedded_model_server": "generator",
    "chunking.parser": "parsers",
    "qdrant_edge_worker": "index",
    "nats-server": "events",
}
"""What a process is, by a word of its command line; else it is the engine itself."""


def family(pid: int) -> Iterator[tuple[str, psutil.Process]]:
    """A process and its descendants, with what each is."""
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        line = " ".join(process.cmdline())
        yield next((kind for word, kind in PROGRAMS.items() if word in line), "engine"), process


def memory(pid: int) -> dict[str, float]:
    """PSS in MB by what a process is."""
    sizes: dict[str, float] = defaultdict(float)
    for kind, process in family(pid):
        sizes[kind] += process.memory_full_info().pss / 1e6
    return sizes


def processor(pid: int) -> dict[str, float]:
    """Seconds of the processor so far, by what a process is."""
    spent: dict[str, float] = defaultdict(float)
    for kind, process in family(pid):
        spent[kind] += sum(process.cpu_times()[:2])
    return spent


def index_and_change(home: Path, pid: int, code: Path, figures: Figures) -> None:
    before = processor(pid)
    command(home, "index", str(code))
    spent = {kind: seconds - before.get(kind, 0.0) for kind, seconds in processor(pid).items()}
    result = json.loads(command(home, "index", str(code), "--json").splitlines()[-1])
    figures.add("files", result["files"], "")
    figures.add("chunks", result["chunks"], "")
    figures.add("cold index until searchable", result["seconds"], "s", "<= 10")
    for kind, seconds in spent.items():
        figures.add(f"its seconds of the processor, {kind}", seconds, "s")
    file = sorted(code.rglob("*.py"))[500]
    changes = []
    for number in range(5):
        file.write_text(file.read_text() + f"\n# change {number}\n")
        changed = json.loads(command(home, "index", str(code), "--json").splitlines()[-1])
        changes.append(changed["seconds"])
    figures.add("one changed file until searchable, median of 5", statistics.median(changes), "s", "<= 0.3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--places", type=int, default=100, help="cursor places a deadline")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        home, code = Path(folder) / "home", Path(folder) / "code"
        shutil.copytree(args.path, code, symlinks=True)
        with running(home) as pid:
            index_and_change(home, pid, code, figures)
            asyncio.run(over_grpc(home, code, args.places, figures))
            sizes = memory(pid)
        for kind, size in sizes.items():
            figures.add(f"memory (PSS), {kind}", size, "MB")
        rest = sum(size for kind, size in sizes.items() if kind != "generator")
        figures.add("memory of all processes without the generator (PSS)", rest, "MB", "<= 600")
        asyncio.run(in_process(home, code, figures))
        cold = []
        for _ in range(5):
            began = time.perf_counter()
            command(home, "search", "token bucket", "--repo", str(code), "--json")
            cold.append(time.perf_counter() - began)
        figures.add("nearcode search from a cold shell, median of 5", statistics.median(cold), "s", "<= 1.5")
    if args.json:
        args.json.write_text(json.dumps(figures.kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
