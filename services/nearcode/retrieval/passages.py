"""Candidates -> what a completion reads: the lines of them that together hold the most of what will be written next."""

from collections.abc import Sequence
from dataclasses import replace

from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.retrieval.beside import Beside
from nearcode.retrieval.coverage import cover
from nearcode.retrieval.expected import Source, chances, load_weights, read_signals
from nearcode.retrieval.explain import snippet
from nearcode.retrieval.fusion import Candidate
from nearcode.retrieval.names import read_all

MOST_SOURCES = 150
"""Candidates whose lines are weighed, the best first."""


def passages(
    ranked: Sequence[Candidate], cursor: CodeCursor, beside: Beside, tokens: int, limit: int
) -> tuple[list[Snippet], list[Candidate]]:
    """At most `limit` runs of lines of the candidates that fit `tokens`, none overlapping, and the candidates of which none is.

    Passages come in the order of their candidates and keep their scores and reasons; their lines say which part they are.
    """
    sources = [candidate for candidate in ranked[:MOST_SOURCES] if candidate.hit.chunk.text.strip()]
    if not sources:
        return [], list(ranked)
    texts = [candidate.hit.chunk.text for candidate in sources]
    told = read_sources(sources, cursor.path)
    expected = read_signals(told, beside)
    names = [source.names for source in told]
    spans = cover(names, expected.inverse, chances(expected, *load_weights()), tokens, limit)
    chosen = []
    for span in sorted(spans, key=lambda span: (span.source, span.first)):
        whole = snippet(sources[span.source])
        lines = texts[span.source].split("\n")[span.first : span.last + 1]
        start = whole.start_line + span.first
        chosen.append(
            replace(whole, text="\n".join(lines), header="", start_line=start, end_line=start + span.last - span.first)
        )
    shown = {id(sources[span.source]) for span in spans}
    return chosen, [candidate for candidate in ranked if id(candidate) not in shown]


def read_sources(candidates: Sequence[Candidate], path: str) -> list[Source]:
    """Candidates, best first, as what their names are expected from. `path`: the edited file's."""
    best = max(candidate.score for candidate in candidates) or 1.0
    files: dict[tuple[str, str], int] = {}
    own = path.rpartition("/")[0]
    lexical, dense = (_over_best([_found(candidate, lane) for candidate in candidates]) for lane in ("lexical", "dense"))
    names = read_all([candidate.hit.chunk.text for candidate in candidates])
    return [
        Source(
            names[at],
            files.setdefault((candidate.hit.chunk.repository, candidate.hit.chunk.path), len(files)),
            max(0.0, candidate.score) / best,
            candidate.hit.chunk.path.rpartition("/")[0] == own,
            lexical[at],
            dense[at],
            candidate.signals,
        )
        for at, candidate in enumerate(candidates)
    ]


def _found(candidate: Candidate, lane: str) -> float:
    find = candidate.found_by.get(lane)
    return max(0.0, find.score) if find else 0.0


def _over_best(scores: Sequence[float]) -> list[float]:
    best = max(scores) or 1.0
    return [score / best for score in scores]
