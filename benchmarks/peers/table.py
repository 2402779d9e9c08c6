"""Figures as Markdown, between two markers of a document, so that a new run replaces the old one's."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers.corpus import SETS
from benchmarks.peers.results import Measured, Summary, summary

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
NOTHING = "-"
HEAD = (
    "| | nDCG@10 | hit@10 | index, s | warm, ms: p50, p95 | process, ms: p50, p95 | index MB | query MB | disk MB |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def table(rows: Mapping[str, Summary]) -> str:
    """One row a tool, best quality first; the best quality is bold."""
    ordered = sorted(rows.items(), key=lambda item: -item[1].ndcg)
    lines = [HEAD]
    for number, (name, one) in enumerate(ordered):
        quality = f"{one.ndcg:.3f}"
        cells = [
            name,
            quality if number else f"**{quality}**",
            f"{one.hit:.3f}",
            _number(one.index_seconds),
            _pair(one.warm),
            _pair(one.process),
            _number(one.index_memory),
            _number(one.query_memory),
            _number(one.disk),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _pair(value: tuple[float, float] | None) -> str:
    return NOTHING if value is None else f"{_number(value[0])}, {_number(value[1])}"


def section(measured: Mapping[str, Measured]) -> str:
    """The tables of both sets, and where and when each tool was measured."""
    parts = []
    for chosen, told in SETS.items():
        rows = {one.name: summary(list(one.sets[chosen].values())) for one in measured.values() if one.sets.get(chosen)}
        if rows:
            counts = {(one.repositories, one.questions) for one in rows.values()}
            covers = " or ".join(f"{repositories} repositories, {asked} questions" for repositories, asked in sorted(counts))
            parts.append(f"**{told.capitalize()}** ({covers}):\n\n{table(rows)}")
    return "\n\n".join([*parts, *_where(measured)])


def _where(measured: Mapping[str, Measured]) -> list[str]:
    places: dict[str, list[str]] = {}
    for one in measured.values():
        told = one.machine
        place = (
            f"{told['cores']} cores ({told['processor']}), {told['memory_gb']} GB, {told['system']}, Python {told['python']}, "
            f"{one.date}, load before it began {told['load']}"
        )
        places.setdefault(place, []).append(one.name)
    return [f"Measured on {place}: {', '.join(names)}." for place, names in places.items()]


def replaced(document: str, text: str) -> str:
    """The document with what is between the markers replaced. Raises ValueError when a marker is missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks {BEGIN} and {END}, between which the tables go")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def write(readme: Path, measured: Mapping[str, Measured]) -> None:
    """Replaces the tables in a document."""
    readme.write_text(replaced(readme.read_text("utf-8"), section(measured)), "utf-8")
