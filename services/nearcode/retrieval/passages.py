"""Candidates -> what a completion reads: the lines of them that together hold the most of what will be written next."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.domain.terms import term_id
from nearcode.retrieval.coverage import cover
from nearcode.retrieval.cursor import COMMON_WORDS
from nearcode.retrieval.expected import NEAR_LINES, Beside, Expected, Source, chances, load_weights, read_signals
from nearcode.retrieval.explain import snippet
from nearcode.retrieval.fusion import Candidate
from nearcode.retrieval.names import Hashes, name_hashes, read_names, word_hashes

MOST_SOURCES = 150
"""Candidates whose lines are weighed, the best first."""
HELD_CHARACTERS = 60_000
"""Characters on each side of the cursor whose names count as known."""


def passages(ranked: Sequence[Candidate], cursor: CodeCursor, tokens: int, limit: int) -> tuple[list[Snippet], list[Candidate]]:
    """At most `limit` runs of lines of the candidates that fit `tokens`, none overlapping, and the candidates of which none is.

    Passages come in the order of their candidates and keep their scores and reasons; their lines say which part they are.
    """
    sources = [candidate for candidate in ranked[:MOST_SOURCES] if candidate.hit.chunk.text.strip()]
    if not sources:
        return [], list(ranked)
    texts = [candidate.hit.chunk.text for candidate in sources]
    expected = expect(sources, cursor)
    spans = cover(texts, expected.inverse, chances(expected, *load_weights()), tokens, limit)
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


def expect(candidates: Sequence[Candidate], cursor: CodeCursor) -> Expected:
    """The names of the candidates, best first, with what tells whether they will be written at the cursor."""
    return read_signals(_sources(candidates, cursor.path), _beside(cursor))


def _sources(candidates: Sequence[Candidate], path: str) -> list[Source]:
    best = max(candidate.score for candidate in candidates) or 1.0
    files: dict[tuple[str, str], int] = {}
    own = path.rpartition("/")[0]
    return [
        Source(
            read_names(candidate.hit.chunk.text),
            files.setdefault((candidate.hit.chunk.repository, candidate.hit.chunk.path), len(files)),
            max(0.0, candidate.score) / best,
            candidate.hit.chunk.path.rpartition("/")[0] == own,
        )
        for candidate in candidates
    ]


def _beside(cursor: CodeCursor) -> Beside:
    before, after = cursor.prefix[-HELD_CHARACTERS:], cursor.suffix[:HELD_CHARACTERS]
    held = np.union1d(name_hashes(before + "\n" + after), _common())
    return Beside(held, word_hashes("\n".join(before.splitlines()[-NEAR_LINES:])))


@lru_cache(maxsize=1)
def _common() -> Hashes:
    """Words of languages: nobody needs to be told them."""
    return np.unique(np.fromiter(map(term_id, COMMON_WORDS), np.uint32, len(COMMON_WORDS)))
