"""Pictures of the figures: quality against the time to ask and to index, and quality by language."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.corpus import SETS
from benchmarks.peers.results import Measured, Summary, summary

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's palette, told apart by color-blind readers, too. Ours is the first."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SPEED, LANGUAGES = "peers-speed.svg", "peers-languages.svg"


def draw(measured: Mapping[str, Measured], folder: Path, kind: str = "svg") -> list[Path]:
    """Writes both pictures; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "nearcode"
    matplotlib.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    tools = {key: _summaries(one) for key, one in measured.items()}
    names = {key: one.name for key, one in measured.items()}
    return [
        _save(_speed(tools, names), folder / SPEED, kind),
        _save(_languages(tools, names), folder / LANGUAGES, kind),
    ]


def _summaries(one: Measured) -> dict[str, Summary]:
    return {name: summary(list(rows.values())) for name, rows in one.sets.items() if rows}


def _save(figure: Any, path: Path, kind: str) -> Path:
    from matplotlib import pyplot

    path = path.with_suffix(f".{kind}")
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white", metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(figure)
    return path


def _speed(tools: Mapping[str, Mapping[str, Summary]], names: Mapping[str, str]) -> Any:
    from matplotlib import pyplot

    shown = _measured_sets(tools)
    figure, axes = pyplot.subplots(len(shown), 2, figsize=(9.5, 3 * len(shown) + 1), sharey="row", squeeze=False)
    for row, (chosen, told) in enumerate(shown.items()):
        ask, index = axes[row]
        for number, sets in enumerate(tools.values()):
            if chosen not in sets:
                continue
            one, look = sets[chosen], {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
            _asked(ask, one, look)
            mean = (one.index_seconds or 0.0) / one.repositories
            index.plot(mean, one.ndcg, markersize=9, linestyle="", clip_on=False, **look)
        ask.set_ylabel(f"nDCG@10, {told}")
        ask.set_xlabel("a question, ms (p50)")
        ask.set_xscale("log")
        ask.xaxis.set_major_formatter("{x:g}")
        index.set_xlabel("indexing a repository from nothing, s (mean; 0: no index)")
        index.set_xlim(left=0)
        for axis in (ask, index):
            axis.grid(alpha=0.3)
    _legend(figure, names, {"a tool kept in memory": "gray", "a process a question": "none"})
    figure.tight_layout(rect=(0, 0.7 / (3 * len(shown) + 1), 1, 1))
    return figure


def _measured_sets(tools: Mapping[str, Mapping[str, Summary]]) -> dict[str, str]:
    """The sets that any tool was measured on: an empty picture tells nothing."""
    return {name: told for name, told in SETS.items() if any(name in sets for sets in tools.values())}


def _asked(axis: Any, one: Summary, look: Mapping[str, str]) -> None:
    times = [time[0] for time in (one.warm, one.process) if time]
    axis.plot(times, [one.ndcg] * len(times), color=look["color"], linewidth=0.8, alpha=0.5)
    for time, fill in ((one.warm, look["color"]), (one.process, "none")):
        if time:
            axis.plot(time[0], one.ndcg, markersize=9, linestyle="", markerfacecolor=fill, **look)


def _languages(tools: Mapping[str, Mapping[str, Summary]], names: Mapping[str, str]) -> Any:
    from matplotlib import pyplot

    languages = _ordered(tools)
    height = 0.32 * len(languages) + 1.6
    shown = _measured_sets(tools)
    figure, axes = pyplot.subplots(1, len(shown), figsize=(9.5, height), sharey=True, squeeze=False)
    for axis, (chosen, told) in zip(axes[0], shown.items(), strict=True):
        for number, sets in enumerate(tools.values()):
            if chosen not in sets:
                continue
            told_of = sets[chosen].languages
            known = [(told_of[language], at) for at, language in enumerate(languages) if language in told_of]
            axis.plot(
                [value for value, _ in known],
                [at for _, at in known],
                color=COLORS[number % len(COLORS)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=8 if number == 0 else 5.5,
                linestyle="",
                alpha=1 if number == 0 else 0.8,
                zorder=3 if number == 0 else 2,
            )
        axis.set_yticks(range(len(languages)), languages)
        axis.set_xlim(0, 1.02)
        axis.set_ylim(-0.6, len(languages) - 0.4)
        axis.set_xlabel(f"nDCG@10, {told}")
        axis.grid(alpha=0.3)
    _legend(figure, names)
    figure.tight_layout(rect=(0, 0.6 / height, 1, 1))
    return figure


def _ordered(tools: Mapping[str, Mapping[str, Summary]]) -> Sequence[str]:
    """Languages, the one that the first tool answers best at the top."""
    first = next((one for sets in tools.values() for one in sets.values()), None)
    return sorted(first.languages, key=lambda language: first.languages[language]) if first else []


def _legend(figure: Any, names: Mapping[str, str], fills: Mapping[str, str] | None = None) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLORS[number % len(COLORS)], marker=MARKERS[number % len(MARKERS)], linestyle="", label=name)
        for number, name in enumerate(names.values())
    ]
    handles += [
        Line2D([], [], color="gray", marker="o", markerfacecolor=fill, linestyle="", label=name)
        for name, fill in (fills or {}).items()
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, frameon=False)
