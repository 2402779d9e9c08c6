"""How well the snippets that were found answer a question. Pure functions of snippets and questions."""

import math
from collections.abc import Sequence

from nearcode.domain.retrieval import Snippet
from nearcode.domain.terms import identifiers
from nearcode.evaluation.question import Place

FIRST = 10
"""Places that count for nDCG and hit."""


def answers(snippet: Snippet, place: Place) -> bool:
    """Whether a snippet is of the place's file, and touches its lines if it names any."""
    if snippet.path != place.path:
        return False
    return not place.start_line or (snippet.start_line <= place.end_line and place.start_line <= snippet.end_line)


def ndcg(snippets: Sequence[Snippet], places: Sequence[Place], first: int = FIRST) -> float:
    """Binary gains: each place counts once, at the first snippet that answers it; a rank counts once, too. 0 to 1."""
    ranks = {next((rank for rank, one in enumerate(snippets[:first], 1) if answers(one, place)), 0) for place in places} - {0}
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(first, len(places)) + 1))
    return sum(1 / math.log2(rank + 1) for rank in ranks) / ideal if ideal else 0.0


def recall(snippets: Sequence[Snippet], places: Sequence[Place]) -> float:
    """The share of the places that some snippet answers."""
    return sum(any(answers(one, place) for one in snippets) for place in places) / len(places) if places else 0.0


def precision(snippets: Sequence[Snippet], places: Sequence[Place]) -> float | None:
    """The share of the characters that stand in snippets which answer something; None when nothing was returned."""
    return _share(snippets, [any(answers(one, place) for place in places) for one in snippets])


def names_found(snippets: Sequence[Snippet], names: Sequence[str]) -> int:
    """How many of the names stand in the snippets."""
    shown = {name for one in snippets for name in identifiers(f"{one.header}\n{one.text}")}
    return sum(name in shown for name in names)


def names_precision(snippets: Sequence[Snippet], names: Sequence[str]) -> float | None:
    """The share of the characters that stand in snippets with one of the names; None when nothing was returned."""
    return _share(snippets, [names_found([one], names) > 0 for one in snippets])


def _share(snippets: Sequence[Snippet], useful: Sequence[bool]) -> float | None:
    sizes = [len(one.header) + len(one.text) for one in snippets]
    total = sum(sizes)
    return sum(size for size, wanted in zip(sizes, useful, strict=True) if wanted) / total if total else None
