"""The table that a person reads and the JSON that is kept per commit."""

import json
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from loadtest.campaign import Result
from loadtest.figures import SHARES, Run

_ROWS = (
    "admission", "x knee", "offered/s", "goodput/s", "of capacity", "full/s", "ok", "refused", "missed", "errors",
    "refusal p50 ms", "freshness p50 s", "generator lag p95 ms",
)  # fmt: skip


def table(result: Result) -> str:
    """All runs: rates, latencies a kind, stages, plans, cores."""
    probed = ", ".join(f"{rate:.1f}/s {share:.0%}" for rate, share in result.probes)
    name = "knee" if result.found else "NO KNEE, at"
    lines = ["", f"{name} {result.knee:.1f} calls/s, capacity {result.capacity:.1f} good answers/s"]
    lines += [f"probes: {probed}"] if probed else []
    lines += ["", *_grid(_ROWS, [_overview(run, result.capacity) for run in result.runs])]
    lines += ["", "latency of answers in time, ms from the moment they were due"]
    names = ("admission", "x knee", "kind", "offered", "good", "text", "refused", "missed", *SHARES, "first p50", "plans")
    lines += _grid(names, [row for run in result.runs for row in _kinds(run)])
    lines += ["", "stages of those answers, ms p50 / p95 / p99"]
    stages = sorted({name for run in result.runs for name in run.stages})
    lines += _grid(
        ("admission", "x knee", *stages),
        [[*_name(run), *(_triple(run.stages.get(one)) for one in stages)] for run in result.runs],
    )
    if any(run.cores for run in result.runs):
        roles = sorted({role for run in result.runs for role in run.cores})
        lines += [
            "",
            "cores in use",
            *_grid(
                ("admission", "x knee", *roles),
                [[*_name(run), *(run.cores.get(one, 0.0) for one in roles)] for run in result.runs],
            ),
        ]
    return "\n".join(lines)


def _overview(run: Run, capacity: float) -> list[object]:
    ended = run.ended
    lag = f"{_number(run.lag['p95'])}{'' if run.valid else ' INVALID'}"
    return [
        *_name(run), run.offered, run.goodput, f"{run.goodput / capacity:.0%}" if capacity else "-", run.full, ended["ok"],
        ended["refused"], ended["missed"], ended["error"], run.refusal["p50"], run.freshness.get("p50"), lag,
    ]  # fmt: skip


def _kinds(run: Run) -> Iterator[list[object]]:
    for kind, seen in run.kinds.items():
        plans = ", ".join(f"{plan} {count}" for plan, count in seen["plans"].items())
        yield [
            *_name(run), kind, seen["offered"], seen["good"], seen["with_text"], seen["refused"], seen["missed"],
            *(seen["latency"][share] for share in SHARES), seen["first_message"]["p50"], plans,
        ]  # fmt: skip


def _name(run: Run) -> list[object]:
    return ["on" if run.admission else "off", f"{run.factor:g}"]


def _triple(stage: Mapping[str, float | None] | None) -> str:
    return " / ".join(_number(stage[share]) for share in SHARES) if stage else "-"


def _number(value: object) -> str:
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _grid(names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    texts = [list(names), *([_number(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            text.ljust(width) if number == last else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]


def read_commit(root: Path) -> str:
    """The commit that is measured, short; with `-dirty` when the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def save(result: Result, folder: Path, commit: str, seconds: float, options: Mapping[str, Any]) -> Path:
    """Writes COMMIT.json and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{commit}.json"
    memory = round(psutil.virtual_memory().total / 2**30)
    written = {
        "commit": commit,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {"cores": psutil.cpu_count(), "memory_gib": memory, "python": platform.python_version()},
        "options": {name: value.name if isinstance(value, Path) else value for name, value in options.items() if name != "out"},
        "seconds": round(seconds),
        "knee": round(result.knee, 2),
        "knee_found": result.found,
        "capacity": result.capacity,
        "probes": result.probes,
        "runs": [asdict(run) for run in result.runs],
    }
    path.write_text(json.dumps(written, indent=1) + "\n")
    return path
