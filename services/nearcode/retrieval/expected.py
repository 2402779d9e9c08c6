"""Which names will be written next: what the candidates of a cursor hold, weighed by how near each of them is.

A linear model of the signals gives the chance of each name. Its weights are learned (training/completion) from bodies of
functions that were cut out of public packages which no benchmark lists.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.beside import Beside
from nearcode.retrieval.names import Hashes, Names, distinct
from nearcode.retrieval.neighborhood import Signals

Floats = NDArray[np.float64]
WEIGHTS_FILE = Path(__file__).with_name("expected.json")
SIGNALS = 35
UPPER, CAPITAL, UNDERSCORE = 2, 3, 4
"""Columns of a name's facts."""


@dataclass(frozen=True, slots=True)
class Source:
    """A candidate's text as names. `fit`, `lexical` and `dense` are its score and its lanes' over the best one's; `near` says
    whether it lies in the same folder; `graph` is what the graph says of its file."""

    names: Names
    file: int
    fit: float
    near: bool
    lexical: float
    dense: float
    graph: Signals


@dataclass(frozen=True, slots=True)
class Expected:
    """`hashes` of the sources' names that the edited file does not hold yet, sorted, and their signals. `inverse` leads to them
    from each source's names, one after the other; for names that it holds it is their number."""

    hashes: Hashes
    inverse: NDArray[np.intp]
    signals: Floats


@dataclass(frozen=True, slots=True)
class _Joined:
    """The sources' names as one list, joined by their hash: `order` sorts it, `starts` are where each name begins then."""

    source: NDArray[np.intp]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    inverse: NDArray[np.intp]

    @classmethod
    def of(cls, hashes: Hashes, source: NDArray[np.intp]) -> "_Joined":
        order = np.argsort(hashes, kind="stable")
        placed = hashes[order]
        new = np.ones(len(hashes), bool)
        new[1:] = placed[1:] != placed[:-1]
        inverse = np.empty(len(hashes), np.intp)
        inverse[order] = np.cumsum(new) - 1
        return cls(source, order, np.flatnonzero(new), inverse)

    @property
    def first(self) -> NDArray[np.intp]:
        """One place of each name."""
        return self.order[self.starts]

    def total(self, rows: Floats) -> Floats:
        """Sums over each name's places of what is known of each, shape (places, columns)."""
        return np.add.reduceat(rows[self.order], self.starts, axis=0)

    def highest(self, rows: Floats) -> Floats:
        """The same, but the highest."""
        return np.maximum.reduceat(rows[self.order], self.starts, axis=0)


def read_signals(sources: Sequence[Source], beside: Beside) -> Expected:
    """The signals of each name, shape (names, 35)."""
    sizes = np.array([len(source.names.hashes) for source in sources])
    everything = np.concatenate([source.names.hashes for source in sources])
    source_of = np.repeat(np.arange(len(sizes)), sizes)
    unheld = np.flatnonzero(~_held(everything, beside.held))
    if not len(unheld):
        return Expected(np.zeros(0, np.uint32), np.zeros(len(everything), np.intp), np.zeros((0, SIGNALS)))
    joined = _Joined.of(everything[unheld], source_of[unheld])
    hashes = everything[unheld][joined.first]
    inverse = np.full(len(everything), len(hashes), np.intp)
    inverse[unheld] = joined.inverse
    facts = np.concatenate([source.names.facts for source in sources])[unheld].astype(np.float64)
    spelled = facts[joined.first, :6]
    words = np.concatenate([source.names.words for source in sources])[unheld][joined.first]
    uses, dotted, called, prose = joined.total(facts[:, 6:]).T
    here = _sources(sources, _about(len(sources), everything, source_of, beside))
    best = joined.highest(here[joined.source])
    chunks, fits, near, close, signed = joined.total(here[joined.source][:, [0, 1, 3, 4, 5]]).T
    files = np.array([source.file for source in sources])[joined.source]
    in_files = np.bincount(distinct(files * len(hashes) + joined.inverse) % len(hashes), minlength=len(hashes))
    local = np.log(near / max(1, sum(source.near for source in sources)) + 0.01)
    dotted = dotted / uses
    signals = np.column_stack((
        np.log(100.0 * chunks / len(sources) + 0.1),
        np.log(100.0 * fits / len(sources) + 0.1),
        best[:, 1:3],
        np.log(in_files / (files.max() + 1) + 0.01),
        np.log(chunks),
        dotted, called / uses, prose / uses, local, local * dotted,
        _shared(words, beside.words),
        _owned(sources, inverse, sizes, beside.held, len(hashes)) / uses,
        spelled,
        spelled[:, 0] * np.log(chunks),
        best[:, 4], close / chunks, best[:, 5], signed / chunks,
        best[:, 6:11],
        _shared(words, beside.signature_words),
        _shared(words, beside.path_words),
        np.full(len(hashes), math.log(1 + beside.length)),
        (spelled[:, UPPER] + spelled[:, CAPITAL] + spelled[:, UNDERSCORE]) == 0,
        best[:, 11:],
    ))  # fmt: skip
    return Expected(hashes, inverse, signals)


def _sources(sources: Sequence[Source], about: Floats) -> Floats:
    """What is known of each source: 1, its fit, its rank, the folder, how much it is about the same (2), the graph (5), its
    lanes (2)."""
    return np.column_stack((
        np.ones(len(sources)),
        [source.fit for source in sources],
        1.0 / (1.0 + np.arange(len(sources))),
        [source.near for source in sources],
        about,
        [_graph(source.graph) for source in sources],
        [(source.lexical, source.dense) for source in sources],
    ))  # fmt: skip


def _graph(told: Signals) -> tuple[float, ...]:
    return told.imported, told.similar_imports, told.similar_name, told.test, told.importer


def _about(sources: int, hashes: Hashes, source_of: NDArray[np.intp], beside: Beside) -> Floats:
    """The share that each source holds of the names near the cursor and of its signature's, shape (sources, 2)."""
    if not len(beside.near):
        return np.zeros((sources, 2))
    at = np.minimum(np.searchsorted(beside.near, hashes), len(beside.near) - 1)
    known = np.flatnonzero(beside.near[at] == hashes)
    return np.column_stack([np.bincount(source_of[known], beside.weights[at[known], column], sources) for column in (0, 1)])


def _shared(words: Hashes, asked: Hashes) -> Floats:
    """The share of each name's words that are asked for."""
    known = words > 0
    return np.asarray((_held(words, asked) & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.float64)


def _held(hashes: Hashes, known: Hashes) -> NDArray[np.bool_]:
    """Which hashes are among the known ones."""
    if not len(known):
        return np.zeros(hashes.shape, bool)
    placed = np.sort(known)
    return np.asarray(placed[np.minimum(np.searchsorted(placed, hashes), len(placed) - 1)] == hashes, np.bool_)


def _owned(sources: Sequence[Source], inverse: NDArray[np.intp], sizes: NDArray[np.intp], held: Hashes, count: int) -> Floats:
    """How often each name follows the dot of a name that the edited file holds."""
    starts = np.repeat(np.cumsum(sizes) - sizes, [len(source.names.places) for source in sources])
    places = np.concatenate([source.names.places for source in sources]) + starts
    before = np.concatenate([source.names.before for source in sources])
    dotted = np.flatnonzero(before)
    known = dotted[_held(before[dotted], held)]
    return np.bincount(inverse[places[known]], minlength=count + 1)[:count].astype(np.float64)


@lru_cache(maxsize=1)
def load_weights(path: Path = WEIGHTS_FILE) -> tuple[Floats, float]:
    """The shipped weights: one a signal, and the bias."""
    told = json.loads(path.read_text())
    return np.array(told["weights"]), float(told["bias"])


def chances(expected: Expected, weights: Floats, bias: float) -> Floats:
    """The chance that each name is written next, and behind them 0 for all that the edited file holds already."""
    return np.append(1.0 / (1.0 + np.exp(-(expected.signals @ weights + bias))), 0.0)
