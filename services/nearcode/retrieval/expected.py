"""Which names will be written next: what the candidates of a cursor hold, weighed by how near each of them is.

A linear model of twenty signals gives the chance of each name. Its weights are learned (training/completion) from bodies of
functions that were cut out of public packages which no benchmark lists.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.names import Hashes, Names

Floats = NDArray[np.float64]
WEIGHTS_FILE = Path(__file__).with_name("expected.json")
NEAR_LINES = 12
"""Lines before the cursor whose words are compared with the names' words."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known of the code at the cursor: names that it holds already, and words of its last lines (both hashes)."""

    held: Hashes
    words: Hashes


@dataclass(frozen=True, slots=True)
class Source:
    """A candidate's text as names; `fit` is its score over the best one's; `near` says whether it lies in the same folder."""

    names: Names
    file: int
    fit: float
    near: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """`hashes` of all names of the sources, sorted; `inverse` leads from each source's names, one after the other, to them."""

    hashes: Hashes
    inverse: NDArray[np.intp]
    signals: Floats
    unheld: NDArray[np.bool_]


def read_signals(sources: Sequence[Source], beside: Beside) -> Expected:
    """The signals of each name, shape (names, 20)."""
    sizes = np.array([len(source.names.hashes) for source in sources])
    everything = np.concatenate([source.names.hashes for source in sources])
    hashes, first, inverse = np.unique(everything, return_index=True, return_inverse=True)
    count = len(hashes)
    facts = np.concatenate([source.names.facts for source in sources])
    words = np.concatenate([source.names.words for source in sources])[first]

    def total(weights: NDArray[np.floating]) -> Floats:
        return np.bincount(inverse, weights, count).astype(np.float64)

    fits = np.repeat([source.fit for source in sources], sizes)
    near = np.repeat([float(source.near) for source in sources], sizes)
    ranks = np.repeat(1.0 / (1.0 + np.arange(len(sources))), sizes)
    files = np.repeat(np.array([source.file for source in sources], np.int64), sizes)
    in_files = np.bincount(np.unique(files * count + inverse) % count, minlength=count)
    chunks, uses = total(np.ones(len(inverse))), total(facts[:, 6])
    dotted, called, prose = (total(facts[:, at]) / uses for at in (7, 8, 9))
    known = (words > 0).sum(axis=1)
    shared = (np.isin(words, beside.words) & (words > 0)).sum(axis=1) / np.maximum(known, 1)
    spelled = facts[first, :6]
    local = np.log(total(near) / max(1, sum(source.near for source in sources)) + 0.01)
    signals = np.column_stack((
        np.log(100.0 * chunks / len(sources) + 0.1),
        np.log(100.0 * total(fits) / len(sources) + 0.1),
        _highest(inverse, fits, count),
        _highest(inverse, ranks, count),
        np.log(in_files / max(1, len(set(files.tolist()))) + 0.01),
        np.log(chunks),
        dotted, called, prose, local, local * dotted, shared,
        _owned(sources, inverse, sizes, beside.held, count) / uses,
        spelled,
        spelled[:, 0] * np.log(chunks),
    ))  # fmt: skip
    return Expected(hashes, inverse, signals, ~np.isin(hashes, beside.held))


def _highest(inverse: NDArray[np.intp], values: Floats, count: int) -> Floats:
    best = np.zeros(count)
    np.maximum.at(best, inverse, values)
    return best


def _owned(sources: Sequence[Source], inverse: NDArray[np.intp], sizes: NDArray[np.intp], held: Hashes, count: int) -> Floats:
    """How often each name follows the dot of a name that the edited file holds."""
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    places = np.concatenate([source.names.places + start for source, start in zip(sources, starts, strict=True)])
    before = np.concatenate([source.names.before for source in sources])
    return np.bincount(inverse[places], np.isin(before, held) & (before > 0), count).astype(np.float64)


@lru_cache(maxsize=1)
def load_weights(path: Path = WEIGHTS_FILE) -> tuple[Floats, float]:
    """The shipped weights: one a signal, and the bias."""
    told = json.loads(path.read_text())
    return np.array(told["weights"]), float(told["bias"])


def chances(expected: Expected, weights: Floats, bias: float) -> Floats:
    """The chance that each name is written next; 0 for those that the edited file holds already."""
    return expected.unheld / (1.0 + np.exp(-(expected.signals @ weights + bias)))
