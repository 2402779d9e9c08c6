"""How much a word tells: its inverse document frequency, from a public prior and the repositories in scope.

The prior is the share of public source files that hold a term (training/make_prior.py). It is corrected by the counts of
the repositories in scope and of no other: a weight that moved with code the caller may not read would tell him about it.
"""

import math
import operator
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.repository import Revision

PRIOR_FILE = Path(__file__).with_name("prior.bin")
PRIOR_STRENGTH = 100.0
"""How many files of evidence the prior counts for: a repository of a thousand files has its own say, one of ten has none."""
MOST_COUNTED = 16
"""Revisions whose counts correct the prior, the largest of the scope first: they hold most of its files, and a question to
hundreds of repositories must not look up every word in each."""

MOST_KNOWN = 50_000
"""Terms whose weights are remembered."""

_HEADER = struct.Struct("<II")
_STEPS = 16
"""Steps a halving of the share; 255 of them reach down to 2^-16, below one file of the corpus."""


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Shares of public files per term. `terms` is sorted; `steps` are shares in sixteenths of a halving.

    Equal to itself only, so that what is computed from it can be remembered."""

    terms: Sequence[int]
    steps: Sequence[int]
    files: int

    def share(self, term: int) -> float:
        """The share of public files that hold the term; an unseen term counts as half a file."""
        at = bisect_left(self.terms, term)
        known = at < len(self.terms) and self.terms[at] == term
        return 2.0 ** (-self.steps[at] / _STEPS) if known else self.unseen

    def knows(self, term: int) -> bool:
        """Whether the term is a word of public code."""
        at = bisect_left(self.terms, term)
        return at < len(self.terms) and self.terms[at] == term

    @property
    def unseen(self) -> float:
        """The share of a term that no public file holds."""
        return 0.5 / self.files


def encode_prior(terms: NDArray[np.uint32], shares: NDArray[np.float64], files: int) -> bytes:
    """The prior's file format: number of terms, number of files, sorted term ids, one byte of share each."""
    steps = np.clip(np.rint(-np.log2(shares) * _STEPS), 0, 255).astype(np.uint8)
    return b"".join((_HEADER.pack(len(terms), files), terms.astype("<u4").tobytes(), steps.tobytes()))


@lru_cache(maxsize=1)
def load_prior(path: Path = PRIOR_FILE) -> Prior:
    """Reads the table that is shipped with the package."""
    data = path.read_bytes()
    count, files = _HEADER.unpack_from(data)
    middle = _HEADER.size + 4 * count
    terms = np.frombuffer(data[_HEADER.size : middle], "<u4").astype(np.uint32)
    return Prior(array("I", terms.tobytes()), data[middle:], files)


@dataclass(slots=True)
class Idf:
    """Word weights over the revisions in the scope of a question, from 0 (in every file) to 1 (in none)."""

    prior: Prior
    revisions: Sequence[Revision]
    _of: Sequence[Revision] = field(init=False)
    _files: int = field(init=False)
    _rarest: float = field(init=False)
    _known: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._of = self.revisions
        largest = sorted(self.revisions, key=lambda revision: (-revision.file_count(), revision.repository))
        self.revisions = largest[:MOST_COUNTED]
        self._files = sum(revision.file_count() for revision in self.revisions)
        self._rarest = -math.log(self._share(self.prior.unseen, 0))

    def weight(self, term: int) -> float:
        """The term's weight."""
        weight = self._known.get(term)
        if weight is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            holding = sum(revision.term_files(term) for revision in self.revisions)
            share = self._share(self.prior.share(term), min(holding, self._files))
            weight = self._known[term] = min(1.0, max(0.0, -math.log(share) / self._rarest))
        return weight

    def is_of(self, revisions: Sequence[Revision]) -> bool:
        """Whether it was made of these very revisions, in this order."""
        return len(revisions) == len(self._of) and all(map(operator.is_, revisions, self._of))

    def weights(self, terms: Iterable[int]) -> dict[int, float]:
        """Weights of terms, by id."""
        return {term: self.weight(term) for term in terms}

    def _share(self, prior: float, holding: int) -> float:
        return (prior * PRIOR_STRENGTH + holding) / (PRIOR_STRENGTH + self._files)
