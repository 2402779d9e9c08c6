"""The picture of a result: goodput and latency against the offered rate, with and without admission control."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtest.campaign import Result
from loadtest.figures import Run

_MODES = ((True, "with admission control", "#0072b2", "o"), (False, "without", "#d55e00", "s"))
_INK, _FAINT = "#333333", "#bbbbbb"


def plot(result: Result, path: Path, commit: str) -> None:
    """Writes a PNG. Colors are Okabe and Ito's, which everybody can tell apart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = sorted({kind for run in result.runs for kind in run.kinds})
    figure = Figure(figsize=(11, 3.9 * math.ceil((1 + len(kinds)) / 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(math.ceil((1 + len(kinds)) / 2), 2, squeeze=False).flat)
    figure.suptitle(f"nearcode {commit}: knee at {result.knee:.0f} calls a second", x=0.01, ha="left", fontsize=13, color=_INK)
    _goodput(axes[0], result)
    for axis, kind in zip(axes[1:], kinds, strict=False):
        _latency(axis, result, kind)
    for axis in axes[1 + len(kinds) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=120)


def _goodput(axis: Any, result: Result) -> None:
    most = max((run.offered for run in result.runs), default=1.0)
    best = max((run.goodput for run in result.runs), default=1.0)
    axis.plot([0, most], [0, most], color=_FAINT, linewidth=1, linestyle=":", label="everything that is offered")
    axis.axhline(0.9 * result.capacity, color=_FAINT, linewidth=1, linestyle="--", label="90 % of capacity")
    _lines(axis, result.runs, lambda run: run.goodput)
    _dress(axis, "goodput", "good answers a second", result)
    axis.set_ylim(0, max(1.0, 1.7 * best))
    axis.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


def _latency(axis: Any, result: Result, kind: str) -> None:
    # A stream writes until its deadline if it may; what a person waits for is its first message, with the sources.
    what = "latency" if all(run.kinds[kind]["first_message"]["p95"] is None for run in _with(result, kind)) else "first_message"

    def p95(run: Run) -> float | None:
        value: float | None = run.kinds[kind][what]["p95"] if kind in run.kinds else None
        return value

    _lines(axis, result.runs, p95)
    _dress(axis, f"{kind}: p95 of {'answers' if what == 'latency' else 'the first message'}", "milliseconds", result)
    for deadline in {run.kinds[kind]["deadline"] * 1e3 for run in _with(result, kind)}:
        axis.axhline(deadline, color=_FAINT, linewidth=1, linestyle="--")
        _note(axis, "deadline", (1, deadline), axis.get_yaxis_transform(), "right")
        axis.set_ylim(0, 1.1 * deadline)


def _with(result: Result, kind: str) -> list[Run]:
    return [run for run in result.runs if kind in run.kinds]


def _lines(axis: Any, runs: Sequence[Run], value: Callable[[Run], float | None]) -> None:
    for admission, label, color, marker in _MODES:
        points = sorted((run.offered, y) for run in runs if run.admission == admission and (y := value(run)) is not None)
        if points:
            xs, ys = zip(*points, strict=True)
            axis.plot(xs, ys, color=color, marker=marker, markersize=5, linewidth=1.8, label=label)


def _dress(axis: Any, title: str, unit: str, result: Result) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=_INK)
    axis.set_xlabel("offered calls a second", fontsize=9, color=_INK)
    axis.set_ylabel(unit, fontsize=9, color=_INK)
    axis.axvline(result.knee, color=_FAINT, linewidth=1)
    _note(axis, "knee", (result.knee, 0.02), axis.get_xaxis_transform(), "left")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=8, colors=_INK)
    axis.spines[["top", "right"]].set_visible(False)


def _note(axis: Any, text: str, at: tuple[float, float], transform: Any, side: str) -> None:
    axis.annotate(
        text, at, xycoords=transform, xytext=(3 if side == "left" else -3, 3), textcoords="offset points", ha=side,
        fontsize=8, color="#777777",
    )  # fmt: skip
