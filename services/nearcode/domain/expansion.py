"""Many identifiers to the numbers that stand for their words, at once: the inner loop of indexing."""

import threading
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_REMEMBERED = 200_000
"""Identifiers whose numbers are kept, about 30 MB; all of Django's sources have 70,000. Then it begins anew."""


class Expansion:
    """Remembers the numbers of each identifier, as `numbers_of` gives them (0 to 2^32 - 1). Safe for several threads."""

    def __init__(self, numbers_of: Callable[[str], Sequence[int]]) -> None:
        self._numbers_of = numbers_of
        self._turn = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._place = _Places()
        self._starts = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int64)
        self._numbers = np.empty(0, np.int64)
        self._filled = 0

    def __len__(self) -> int:
        return len(self._place)

    def __call__(self, identifiers: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of all identifiers, one after the other, and how many each has."""
        with self._turn:
            places = self._places(identifiers)
            if len(self._place) > _REMEMBERED and len(self._place.new) < len(self._place):
                self._forget()
                places = self._places(identifiers)
            if self._place.new:
                self._learn()
            lengths = self._lengths[places]
            before = np.cumsum(lengths) - lengths
            positions = np.repeat(self._starts[places] - before, lengths) + np.arange(int(lengths.sum()))
            return self._numbers[positions], lengths

    def _places(self, identifiers: Sequence[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self._place.__getitem__, identifiers), np.int64, len(identifiers))

    def _learn(self) -> None:
        numbers = [self._numbers_of(identifier) for identifier in self._place.new]
        lengths = np.fromiter(map(len, numbers), np.int64, len(numbers))
        flat = np.fromiter(chain.from_iterable(numbers), np.int64, int(lengths.sum()))
        first, known = self._filled, len(self._place) - len(numbers)
        self._starts = _placed(self._starts, known, first + np.cumsum(lengths) - lengths)
        self._lengths = _placed(self._lengths, known, lengths)
        self._numbers = _placed(self._numbers, first, flat)
        self._filled = first + len(flat)
        self._place.new = []


class _Places(dict[str, int]):
    """Numbers strings as they come; `new` are those whose numbers are still to be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, identifier: str) -> int:
        place = self[identifier] = len(self)
        self.new.append(identifier)
        return place


def _placed(array: NDArray[np.int64], at: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`array` with `values` from `at` on; grown to twice its size where they do not fit."""
    if at + len(values) > len(array):
        grown = np.empty(max(at + len(values), 2 * len(array)), np.int64)
        grown[:at] = array[:at]
        array = grown
    array[at : at + len(values)] = values
    return array
