"""Which spans a cursor's context is made of: those that together hold the most names that will be written next.

Spans are runs of lines of the candidates' texts. A name counts once, however often it is shown, so the next span tells
something new. Pure: candidates and what is known of the cursor -> spans that fit the budget.

A text is cut into blocks of STEP lines and every span is a run of blocks. A name counts for a run at its first block in it
alone, so a run's gain is a sum over its blocks: all spans are weighed by one count and one running sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.expected import Floats
from nearcode.retrieval.names import read_names

STEP = 4
"""Lines of a block."""
LENGTHS = (1, 2, 3, 5, 8, 12)
"""Blocks of the spans that are weighed."""
PRICES = (0.0008, 0.0004, 0.0002, 0.0001)
"""Expected names that a token must bring, the highest first: spans grow until the budget is used."""
UNLIKELY = 0.004
"""Names below this chance are not counted: most are, and together they bring less than they cost in time."""
LEAST_TOKENS = 8
"""Room in which no span says anything."""
_LONGEST = LENGTHS[-1]
_SUMS = (np.arange(_LONGEST)[:, None] < np.array(LENGTHS)).astype(np.float64)
"""From what each further block brings to what spans of each length bring, shape (blocks, lengths)."""

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Span:
    """Lines `first` to `last` (from 0, both included) of source `source`; `gain`: names that it is expected to bring."""

    source: int
    first: int
    last: int
    gain: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of one text, and the spans that begin at each of them, shape (blocks, lengths).

    `ends` is the line after a span, `tokens` what it takes. `cells` and `places` say for each name which runs of blocks it is
    counted for: cell `block * 12 + further blocks` is the run from `block` on, in which the name comes first that much further.
    """

    ends: Ints
    tokens: Floats
    cells: Ints
    places: Ints


@lru_cache(maxsize=8_192)
def blocks_of(text: str) -> Blocks:
    """The blocks of a text."""
    names = read_names(text)
    lines = len(names.costs)
    count = -(-lines // STEP)
    placed = np.unique(names.places.astype(np.int64) * count + names.lines // STEP)
    places, blocks = placed // count, placed % count
    before = np.where(np.diff(places, prepend=-1) == 0, np.concatenate(([-1], blocks[:-1])), -1)
    earliest = np.maximum(before + 1, blocks - _LONGEST + 1)
    runs = blocks - earliest + 1
    each = np.repeat(np.arange(len(places)), runs)
    first = earliest[each] + np.arange(len(each)) - np.repeat(np.cumsum(runs) - runs, runs)
    starts = np.arange(count)
    ends = np.minimum((starts[:, None] + LENGTHS) * STEP, lines)
    sums = np.concatenate(([0.0], np.cumsum(names.costs, dtype=np.float64)))
    cells = first * _LONGEST + blocks[each] - first
    return Blocks(
        ends.astype(np.int32), sums[ends] - sums[starts * STEP][:, None], cells.astype(np.int32), places[each].astype(np.int32)
    )


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
    """The blocks of all texts, one after the other; `cells` and `names` are pairs."""

    source: NDArray[np.intp]
    first: NDArray[np.intp]
    ends: Ints
    tokens: Floats
    cells: NDArray[np.intp]
    names: NDArray[np.intp]

    @classmethod
    def of(cls, texts: Sequence[str], inverse: NDArray[np.intp], likely: NDArray[np.bool_]) -> "_Pool":
        each = [blocks_of(text) for text in texts]
        counts = np.array([len(one.ends) for one in each])
        begin = np.cumsum(counts) - counts
        sizes = np.array([len(read_names(text).hashes) for text in texts])
        pairs = np.array([len(one.cells) for one in each])
        names = inverse[np.concatenate([one.places for one in each]) + np.repeat(np.cumsum(sizes) - sizes, pairs)]
        kept = likely[names]
        cells = np.concatenate([one.cells for one in each])[kept] + np.repeat(begin * _LONGEST, pairs)[kept]
        source = np.repeat(np.arange(len(texts)), counts)
        return cls(
            source,
            (np.arange(len(source)) - begin[source]) * STEP,
            np.concatenate([one.ends for one in each]),
            np.concatenate([one.tokens for one in each]),
            cells,
            names[kept],
        )

    def greedy(self, chances: Floats, tokens: float, limit: int, price: float) -> list[Span]:
        """Takes the span that brings the most above its price, again and again."""
        left, worth = tokens, chances.copy()
        spans: list[Span] = []
        values = np.where(self.tokens <= left, -price * self.tokens, -np.inf)
        while len(spans) < limit and left >= LEAST_TOKENS:
            new = np.bincount(self.cells, worth[self.names], len(self.source) * _LONGEST)
            gains = new.reshape(-1, _LONGEST) @ _SUMS
            block, length = divmod(int(np.argmax(gains + values)), len(LENGTHS))
            if not gains[block, length] + values[block, length] > 0.0:
                break
            first, end = int(self.first[block]), int(self.ends[block, length])
            cost = float(self.tokens[block, length])
            spans.append(Span(int(self.source[block]), first, end - 1, float(gains[block, length]), cost))
            shown = self.cells - block * _LONGEST
            worth[self.names[(shown >= 0) & (shown < LENGTHS[length])]] = 0.0
            left -= cost
            same = self.source == self.source[block]
            overlapping = same[:, None] & (self.first[:, None] < end) & (self.ends > first)
            values[overlapping | (self.tokens > left)] = -np.inf
        return spans
