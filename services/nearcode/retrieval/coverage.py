"""Which spans a cursor's context is made of: those that together hold the most names that will be written next.

Spans are runs of lines of the candidates' texts. A name counts once, however often it is shown, so the next span tells
something new. Pure: candidates and what is known of the cursor -> spans that fit the budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.expected import Floats
from nearcode.retrieval.names import read_names

STEP = 4
"""Lines between the beginnings of the spans that are weighed."""
LENGTHS = (4, 8, 12, 20, 32, 48)
"""Lines of the spans that are weighed."""
PRICES = (0.0008, 0.0004, 0.0002, 0.0001)
"""Expected names that a token must bring, the highest first: spans grow until the budget is used."""
UNLIKELY = 0.004
"""Names below this chance are not counted: most are, and together they bring less than they cost in time."""
LEAST_TOKENS = 8
"""Room in which no span says anything."""


@dataclass(frozen=True, slots=True)
class Span:
    """Lines `first` to `last` (from 0, both included) of source `source`; `gain`: names that it is expected to bring."""

    source: int
    first: int
    last: int
    gain: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Windows:
    """The spans of one text that are weighed: their lines and tokens, and each distinct (window, name) of them."""

    first: NDArray[np.int32]
    last: NDArray[np.int32]
    tokens: Floats
    windows: NDArray[np.int32]
    places: NDArray[np.int32]


@lru_cache(maxsize=8_192)
def windows_of(text: str) -> Windows:
    """Every run of lines of a text that begins and ends at a step."""
    names = read_names(text)
    lines = len(names.costs)
    runs = sorted({(a, min(a + length, lines) - 1) for a in range(0, lines, STEP) for length in LENGTHS})
    first, last = (np.array(side, np.int32) for side in zip(*runs, strict=True))
    inside = (names.lines >= first[:, None]) & (names.lines <= last[:, None])
    windows, uses = np.nonzero(inside)
    pairs = np.unique(windows.astype(np.int64) * (len(names.hashes) + 1) + names.places[uses])
    sums = np.concatenate(([0.0], np.cumsum(names.costs)))
    return Windows(
        first, last, sums[last + 1] - sums[first],
        (pairs // (len(names.hashes) + 1)).astype(np.int32), (pairs % (len(names.hashes) + 1)).astype(np.int32),
    )  # fmt: skip


def cover(texts: Sequence[str], inverse: NDArray[np.intp], chances: Floats, tokens: float, limit: int) -> list[Span]:
    """At most `limit` spans of at most `tokens` in all. `inverse` leads from the texts' names to their `chances`."""
    pool = _Pool.of(texts, inverse, chances >= UNLIKELY)
    best: list[Span] = []
    for price in PRICES:
        spans = pool.greedy(chances, tokens, limit, price)
        if sum(span.gain for span in spans) >= sum(span.gain for span in best):
            best = spans
    return best


@dataclass(frozen=True, slots=True)
class _Pool:
    """The windows of all texts side by side."""

    source: NDArray[np.int32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    tokens: Floats
    windows: NDArray[np.intp]
    names: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, texts: Sequence[str], inverse: NDArray[np.intp], likely: NDArray[np.bool_]) -> "_Pool":
        each = [windows_of(text) for text in texts]
        counts = np.array([len(one.first) for one in each])
        sizes = np.array([len(read_names(text).hashes) for text in texts])
        window_at = np.concatenate(([0], np.cumsum(counts)))
        name_at = np.concatenate(([0], np.cumsum(sizes)))
        windows = np.concatenate([one.windows + at for one, at in zip(each, window_at[:-1], strict=True)])
        names = inverse[np.concatenate([one.places + at for one, at in zip(each, name_at[:-1], strict=True)])]
        kept = likely[names]
        windows, names = windows[kept], names[kept]
        return cls(
            np.repeat(np.arange(len(texts), dtype=np.int32), counts),
            np.concatenate([one.first for one in each]),
            np.concatenate([one.last for one in each]),
            np.concatenate([one.tokens for one in each]),
            windows,
            names,
            np.searchsorted(windows, np.arange(window_at[-1] + 1)),
        )

    def greedy(self, chances: Floats, tokens: float, limit: int, price: float) -> list[Span]:
        """Takes the span that brings the most above its price, again and again."""
        left, worth = tokens, chances.copy()
        spans: list[Span] = []
        free = np.ones(len(self.tokens), bool)
        while len(spans) < limit and left >= LEAST_TOKENS:
            gains = np.bincount(self.windows, worth[self.names], len(self.tokens))
            values = np.where(free & (self.tokens <= left), gains - price * self.tokens, -np.inf)
            at = int(np.argmax(values))
            if not values[at] > 0.0:
                break
            spans.append(
                Span(int(self.source[at]), int(self.first[at]), int(self.last[at]), float(gains[at]), float(self.tokens[at]))
            )
            worth[self.names[self.starts[at] : self.starts[at + 1]]] = 0.0
            left -= float(self.tokens[at])
            free &= (self.source != self.source[at]) | (self.first > self.last[at]) | (self.last < self.first[at])
        return spans
