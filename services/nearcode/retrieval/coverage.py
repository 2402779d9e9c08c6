"""Which spans a cursor's context is made of: those that together hold the most names that will be written next.

Spans are runs of lines of the candidates' texts. A name counts once, however often it is shown, so the next span tells
something new. Pure: candidates and what is known of the cursor -> spans that fit the budget.

A text is cut into blocks of STEP lines and every span is a run of blocks. A name counts for a run at its first block in it
alone, so a run's gain is a sum over its blocks: all spans are weighed by one count and one running sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.expected import Floats
from nearcode.retrieval.names import Names, distinct

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


@dataclass(frozen=True, slots=True)
class Span:
    """Lines `first` to `last` (from 0, both included) of source `source`; `gain`: names that it is expected to bring."""

    source: int
    first: int
    last: int
    gain: float
    tokens: float


def cover(names: Sequence[Names], inverse: NDArray[np.intp], chances: Floats, tokens: float, limit: int) -> list[Span]:
    """At most `limit` spans of at most `tokens` in all. `inverse` leads from the texts' names to their `chances`."""
    pool = _Pool.of(names, inverse, chances >= UNLIKELY)
    worths = _Worths(pool, chances)
    best: list[Span] = []
    for price in PRICES:
        spans = pool.greedy(worths, tokens, limit, price)
        if sum(span.gain for span in spans) >= sum(span.gain for span in best):
            best = spans
    return best


@dataclass(frozen=True, slots=True)
class _Pool:
    """The blocks of all texts, one after the other, and the spans that begin at each of them, shape (blocks, lengths).

    `begins` is the first block of each text, and the end. `ends` is the line after a span, `tokens` what it takes. `cells` and
    `names` are pairs, by cell, that say for which runs of blocks a name is counted: cell `block * 12 + further blocks` is the
    run from `block` on, in which it comes first that much further.
    """

    begins: NDArray[np.intp]
    source: NDArray[np.intp]
    first: NDArray[np.intp]
    ends: NDArray[np.intp]
    tokens: Floats
    cells: NDArray[np.intp]
    names: NDArray[np.intp]

    @classmethod
    def of(cls, texts: Sequence[Names], inverse: NDArray[np.intp], likely: NDArray[np.bool_]) -> "_Pool":
        lines = np.array([len(text.costs) for text in texts])
        begins = np.concatenate(([0], np.cumsum(-(-lines // STEP))))
        source = np.repeat(np.arange(len(texts)), np.diff(begins))
        local = np.arange(len(source)) - begins[source]
        ends = np.minimum((local[:, None] + LENGTHS) * STEP, lines[source][:, None])
        sums = np.concatenate(([0.0], np.cumsum(np.concatenate([text.costs for text in texts]), dtype=np.float64)))
        above = (np.cumsum(lines) - lines)[source]
        tokens = sums[above[:, None] + ends] - sums[above + local * STEP][:, None]
        cells, names = _cells(texts, inverse, likely, begins[:-1], len(source))
        by_cell = np.argsort(cells, kind="stable")
        return cls(begins, source, local * STEP, ends, tokens, cells[by_cell], names[by_cell])

    def gains(self, worth: Floats) -> Floats:
        """What each span brings, by what each name is worth, shape (blocks, lengths)."""
        new = np.bincount(self.cells, worth[self.names], len(self.source) * _LONGEST)
        gains: Floats = new.reshape(-1, _LONGEST) @ _SUMS
        return gains

    def greedy(self, worths: "_Worths", tokens: float, limit: int, price: float) -> list[Span]:
        """Takes the span that brings the most above its price, again and again."""
        left = tokens
        taken: tuple[int, ...] = ()
        spans: list[Span] = []
        values = np.where(self.tokens <= left, -price * self.tokens, -np.inf)
        while len(spans) < limit and left >= LEAST_TOKENS:
            gains = worths.gains(taken)
            above = gains + values
            at = int(above.argmax())
            if not above.item(at) > 0.0:
                break
            block = at // len(LENGTHS)
            source, first, end, cost = self.source.item(block), self.first.item(block), self.ends.item(at), self.tokens.item(at)
            spans.append(Span(source, first, end - 1, gains.item(at), cost))
            left -= cost
            own = slice(self.begins.item(source), self.begins.item(source + 1))
            values[own][(self.first[own, None] < end) & (self.ends[own] > first)] = -np.inf
            values[self.tokens > left] = -np.inf
            taken = (*taken, at)
        return spans

    def held(self, at: int) -> NDArray[np.intp]:
        """The names of a span, by its number in `tokens`."""
        block, length = divmod(at, len(LENGTHS))
        cell = block * _LONGEST
        low, high = self.cells.searchsorted((cell, cell + LENGTHS[length]))
        return self.names[low:high]


class _Worths:
    """What names are worth after spans were taken, and with it what each further span brings. Remembered by the spans: prices
    begin alike."""

    def __init__(self, pool: _Pool, chances: Floats) -> None:
        self._pool = pool
        self._known: dict[tuple[int, ...], tuple[Floats, Floats]] = {(): (chances, pool.gains(chances))}

    def gains(self, taken: tuple[int, ...]) -> Floats:
        """What each span brings beside those that are taken: their numbers in the pool's `tokens`, in their order."""
        if taken not in self._known:
            worth = self._known[taken[:-1]][0].copy()
            worth[self._pool.held(taken[-1])] = 0.0
            self._known[taken] = worth, self._pool.gains(worth)
        return self._known[taken][1]


def _cells(
    texts: Sequence[Names], inverse: NDArray[np.intp], likely: NDArray[np.bool_], begin: NDArray[np.intp], blocks: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The cells of the likely names, and those names."""
    sizes = np.array([len(text.hashes) for text in texts])
    source = np.repeat(np.arange(len(texts)), [len(text.places) for text in texts])
    own = np.concatenate([text.places for text in texts]) + (np.cumsum(sizes) - sizes)[source]
    kept = np.flatnonzero(likely[inverse[own]])
    own, source = own[kept], source[kept]
    held = np.concatenate([text.lines for text in texts])[kept] // STEP + begin[source]
    placed = distinct(own * blocks + held)
    own, held = placed // blocks, placed % blocks
    before = begin[np.repeat(np.arange(len(texts)), sizes)[own]] - 1
    again = np.flatnonzero(own[1:] == own[:-1]) + 1
    before[again] = held[again - 1]
    earliest = np.maximum(before + 1, held - _LONGEST + 1)
    runs = held - earliest + 1
    each = np.repeat(np.arange(len(placed)), runs)
    first = earliest[each] + np.arange(len(each)) - np.repeat(np.cumsum(runs) - runs, runs)
    return first * _LONGEST + held[each] - first, inverse[own[each]]
