"""Asked questions as matrices: features of every candidate, the file of each, and which candidates match which answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from nearcode.retrieval.explain import snippet
from nearcode.retrieval.features import features, numbered
from nearcode.retrieval.fusion import gather
from nearcode.retrieval.reading import Asked as Read
from nearcode.retrieval.reading import Reading
from nearcode.retrieval.service import checked
from numpy.typing import NDArray

from benchmarks.lab import Asked
from benchmarks.scoring import matches


@dataclass(frozen=True, slots=True)
class Matrix:
    """One question. `values` has shape (candidates, features), `files` (candidates,), `matched` (candidates, answers)."""

    repository: str
    names: tuple[str, ...]
    values: NDArray[np.float64]
    files: NDArray[np.int64]
    matched: NDArray[np.bool_]

    def columns(self, names: Sequence[str]) -> NDArray[np.float64]:
        """The features of these names."""
        return self.values[:, [self.names.index(name) for name in names]]


def matrices(questions: Iterable[Asked]) -> list[Matrix]:
    """Of every question that found anything."""
    return [made for question in questions if (made := matrix(question)) is not None]


def matrix(question: Asked) -> Matrix | None:
    """Of one question; None if nothing was found."""
    call, found = question.call, question.found
    lanes, _ = checked(call, found)
    candidates = gather(lanes)
    if not candidates:
        return None
    told = features(candidates, lanes, Reading(Read.read(call.intent, call.intent.word_shares(found.idf))))
    chunks = [candidate.hit.chunk for candidate in candidates]
    files = numbered((chunk.repository, chunk.path) for chunk in chunks)
    shown = [snippet(candidate) for candidate in candidates]
    matched = [[question.answers(one) and matches(one, target) for target in question.targets] for one in shown]
    return Matrix(question.repository, tuple(told), np.stack(list(told.values()), axis=1), files, np.array(matched, bool))
