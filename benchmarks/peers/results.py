"""Figures kept as JSON, so that one tool can be measured again and the others' stay; and their means."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Row:
    """A tool on a repository. Times in milliseconds but `index_seconds`, sizes in MB; empty or None: it has no such thing.

    `process`: from starting a process to its answer, a question each. `warm`: asking the tool that stays in memory.
    """

    language: str
    ndcg: tuple[float, ...]
    hit: tuple[float, ...]
    index_seconds: float | None
    index_memory: float | None
    query_memory: float
    disk: float | None
    process: tuple[float, ...]
    warm: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A tool's rows by set (`roots`, `whole`) and repository's key, and when and where they were measured."""

    name: str
    date: str
    machine: Mapping[str, Any]
    sets: dict[str, dict[str, Row]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """Means and percentiles of a tool over a set. Sizes are the largest repository's for memory, the sum for disk."""

    repositories: int
    questions: int
    ndcg: float
    hit: float
    index_seconds: float | None
    index_memory: float | None
    query_memory: float
    disk: float | None
    process: tuple[float, float] | None
    warm: tuple[float, float] | None
    languages: Mapping[str, float]


def summary(rows: Sequence[Row]) -> Summary:
    """Quality is the mean of a repository's questions, then of repositories; times are pooled over questions."""
    by_language: dict[str, list[float]] = {}
    for row in rows:
        by_language.setdefault(row.language, []).append(statistics.fmean(row.ndcg))
    return Summary(
        len(rows),
        sum(len(row.ndcg) for row in rows),
        statistics.fmean(statistics.fmean(row.ndcg) for row in rows),
        statistics.fmean(statistics.fmean(row.hit) for row in rows),
        _over(sum, [row.index_seconds for row in rows]),
        _over(max, [row.index_memory for row in rows]),
        max(row.query_memory for row in rows),
        _over(sum, [row.disk for row in rows]),
        percentiles([time for row in rows for time in row.process]),
        percentiles([time for row in rows for time in row.warm]),
        {language: statistics.fmean(values) for language, values in sorted(by_language.items())},
    )


def _over(combine: Any, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(combine(known)) if known else None


def percentiles(times: Sequence[float]) -> tuple[float, float] | None:
    """Nearest-rank p50 and p95; None without times."""
    ordered = sorted(times)
    if not ordered:
        return None
    return ordered[(len(ordered) - 1) // 2], ordered[max(0, -(-95 * len(ordered) // 100) - 1)]


def machine() -> dict[str, Any]:
    """What this is measured on. `load` is the mean number of processes that wanted a core before it began."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load": round(psutil.getloadavg()[0], 1),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def read(path: Path) -> dict[str, Measured]:
    """What a file keeps, by tool; nothing if there is no file."""
    if not path.exists():
        return {}
    return {
        tool: Measured(
            one["name"],
            one["date"],
            one["machine"],
            {name: {key: Row(**_tuples(row)) for key, row in rows.items()} for name, rows in one["sets"].items()},
        )
        for tool, one in json.loads(path.read_text("utf-8")).items()
    }


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def write(path: Path, measured: Mapping[str, Measured]) -> None:
    """Keeps it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_suffix(".new")
    waiting.write_text(json.dumps({tool: asdict(one) for tool, one in measured.items()}, indent=None) + "\n", "utf-8")
    waiting.replace(path)
