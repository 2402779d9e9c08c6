"""The picture of a result: goodput and latency against the offered rate, with and without admission control."""

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
    figure = Figure(figsize=(4.2 * (1 + len(kinds)), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(kinds), squeeze=False)[0]
    figure.suptitle(f"nearcode {commit}: knee {result.knee:.0f} calls/s", x=0.01, ha="left", fontsize=12, color=_INK)
    _goodput(axes[0], result)
    for axis, kind in zip(axes[1:], kinds, strict=True):
        _latency(axis, result, kind)
    figure.savefig(path, dpi=130)


def _goodput(axis: Any, result: Result) -> None:
    most = max((run.offered for run in result.runs), default=1.0)
    axis.plot([0, most], [0, most], color=_FAINT, linewidth=1, linestyle=":", label="everything that is offered")
    axis.axhline(0.9 * result.capacity, color=_FAINT, linewidth=1, linestyle="--", label="90 % of capacity")
    _lines(axis, result.runs, lambda run: run.goodput)
    _dress(axis, "goodput", "good answers a second", result)
    axis.legend(frameon=False, fontsize=8, loc="upper left")


def _latency(axis: Any, result: Result, kind: str) -> None:
    def p95(run: Run) -> float | None:
        value: float | None = run.kinds[kind]["latency"]["p95"] if kind in run.kinds else None
        return value

    _lines(axis, result.runs, p95)
    deadlines = {run.kinds[kind]["deadline"] for run in result.runs if kind in run.kinds}
    for deadline in deadlines:
        axis.axhline(deadline * 1e3, color=_FAINT, linewidth=1, linestyle="--")
        axis.annotate("deadline", (0, deadline * 1e3), xytext=(4, -10), textcoords="offset points", fontsize=8, color="#777777")
    _dress(axis, f"{kind}: p95 of answers in time", "milliseconds", result)


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
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=8, colors=_INK)
    axis.spines[["top", "right"]].set_visible(False)
