"""Ragged lists of word numbers, kept as flat arrays."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


@dataclass(slots=True)
class Vocabulary:
    """Numbers words as they come."""

    number: dict[str, int] = field(default_factory=dict)

    def __call__(self, words: Iterable[str]) -> list[int]:
        """The words' numbers."""
        return [self.number.setdefault(word, len(self.number)) for word in words]


class Rows:
    """Rows that are being written: word numbers with values."""

    def __init__(self) -> None:
        self.starts, self.columns, self.values = array("q", [0]), array("i"), array("f")

    def add(self, numbers: Iterable[int], values: Iterable[float]) -> None:
        """One more row."""
        self.columns.extend(numbers)
        self.values.extend(values)
        self.starts.append(len(self.columns))

    def count(self, vocabulary: Vocabulary, counts: Mapping[str, float]) -> None:
        """One more row, of counted words."""
        self.add(vocabulary(counts), counts.values())

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """For `np.savez`."""
        return {
            f"{name}_starts": np.array(self.starts, np.int64),
            f"{name}_columns": np.array(self.columns, np.int32),
            f"{name}_values": np.array(self.values, np.float32),
        }


def load_rows(data: Mapping[str, NDArray[Any]], name: str, words: int) -> csr_matrix:
    """Shape (rows, words)."""
    starts = data[f"{name}_starts"]
    return csr_matrix((data[f"{name}_values"], data[f"{name}_columns"], starts), shape=(len(starts) - 1, words))


def read_words(path: Path) -> list[str]:
    """A vocabulary's words, in order."""
    return path.read_text("utf-8").split("\n")
