"""A table being made: rows of words, and of the pieces that stand in for other words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nearcode.adapters.word_table import pieces_of
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

LEAST_SEEN = 12
"""Pairs with a word; what is rarer is made of pieces."""
_PIECE_LETTERS = 2, 5
_MOST_PIECES, _PIECE_SEEN = 12_000, 60


@dataclass(slots=True)
class Table:
    """Names of rows, and a matrix of shape (rows, dimensions)."""

    names: list[str]
    rows: NDArray[np.float32]


def choose_rows(words: Sequence[str], seen: NDArray[np.int64]) -> list[str]:
    """Names of rows, sorted: frequent words, the commonest groups of letters in the others, and every single character."""
    frequent = {word for word, times in zip(words, seen, strict=True) if times >= LEAST_SEEN}
    groups: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for word, times in zip(words, seen, strict=True):
        characters.update(dict.fromkeys(word, int(times)))
        if word not in frequent and word.isalpha() and word.isascii():
            for length in range(_PIECE_LETTERS[0], _PIECE_LETTERS[1] + 1):
                groups.update({word[at : at + length]: int(times) for at in range(len(word) - length + 1)})
    pieces = {group for group, times in groups.most_common(_MOST_PIECES) if times >= _PIECE_SEEN}
    single = {character for character, times in characters.items() if times >= LEAST_SEEN}
    return sorted(frequent | pieces | single)


def spread(words: Sequence[str], names: Sequence[str]) -> csr_matrix:
    """Shape (words, rows): the rows that each word is made of. A word of several pieces keeps the norm of one."""
    number: Mapping[str, int] = {name: at for at, name in enumerate(names)}
    made = [pieces_of(word, number) for word in words]
    lengths = np.array([len(each) for each in made])
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1), dtype=np.float32), lengths)
    columns = np.array([piece for each in made for piece in each], np.int32)
    return csr_matrix((values, columns, np.concatenate(([0], np.cumsum(lengths)))), shape=(len(words), len(names)))
