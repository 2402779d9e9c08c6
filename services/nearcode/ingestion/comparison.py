"""Two models of a space, asked the same questions: what indexed definitions say of themselves, with their own words left in."""

import random
from collections.abc import Sequence
from contextlib import aclosing

from nearcode.domain.index import DenseQuery, StoredPoint
from nearcode.domain.principal import Scope
from nearcode.domain.spaces import Comparison, Opened

QUESTIONS = 100
FIRST = 10
"""Places that count."""
_CANDIDATES = 3 * FIRST
"""Chunks asked for: several are of one file."""
_READ = 5_000
"""Points of a repository that are looked through for questions."""
_LEAST_WORDS = 5
"""Words of a docstring that is worth a question."""

Place = tuple[str, str]


async def compare(active: Opened, other: Opened, scope: Scope, questions: int = 0) -> Comparison:
    """Asks both models for the files of documented definitions by their documentation. The same questions each time.

    Raises Unavailable. This compares models where the two should differ little; it is no measure of either's quality.
    """
    asked = await _questions(active, scope, questions or QUESTIONS)
    ranks: tuple[list[float], list[float]] = ([], [])
    agreement = []
    for question, place in asked:
        first, second = [await _files(opened, scope, question) for opened in (active, other)]
        ranks[0].append(_reciprocal(first, place))
        ranks[1].append(_reciprocal(second, place))
        agreement.append(len(set(first) & set(second)) / max(1, min(len(first), len(second))))
    count = max(1, len(asked))
    profiles = active.index.space.profile.name, other.index.space.profile.name
    return Comparison(len(asked), *profiles, sum(ranks[0]) / count, sum(ranks[1]) / count, sum(agreement) / count)


async def _questions(opened: Opened, scope: Scope, count: int) -> list[tuple[str, Place]]:
    found: list[tuple[str, Place]] = []
    for repository in sorted(scope.repositories):
        seen = 0
        async with aclosing(opened.index.scan(repository)) as points:  # type: ignore[type-var]
            async for point in points:
                seen += 1
                if question := _question(point):
                    found.append((question, (repository, str(point.payload["path"]))))
                if seen == _READ:
                    break
    found.sort()
    return random.Random(0).sample(found, min(count, len(found)))


def _question(point: StoredPoint) -> str:
    """The docstring in a chunk's header: the last of path, scopes, signature and docstring."""
    rows = str(point.payload["header"]).split("\n")
    words = rows[-1].split()
    prose = len(words) >= _LEAST_WORDS and sum(word.strip(".,;:'\"()").isalpha() for word in words) >= 0.8 * len(words)
    return rows[-1] if len(rows) > 2 and prose else ""


async def _files(opened: Opened, scope: Scope, question: str) -> list[Place]:
    """The first files, best first."""
    vector = await opened.embedder.embed_query(question, {})
    [hits] = await opened.index.search(scope, [DenseQuery(vector, _CANDIDATES)])
    return list(dict.fromkeys((hit.chunk.repository, hit.chunk.path) for hit in hits))[:FIRST]


def _reciprocal(files: Sequence[Place], place: Place) -> float:
    return 1.0 / (files.index(place) + 1) if place in files else 0.0
