"""Rows of words: a table of vectors of words and of pieces of words, read once, and the rows of the words seen so far."""

import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.expansion import Expansion
from nearcode.domain.terms import split_once

FILES = "table.npy", "words.txt"
"""Rows (int8, shape (words, dimensions)), and what each stands for, a line each."""

_LONGEST_PIECE = 16
"""Characters of a piece of a word at most."""
_WORDS = 100_000
"""Rows kept (26 MB at 256 dimensions). When there are more, the words seen so far are forgotten: rows are cheap to make."""


def shipped_folder() -> Path:
    """Where the package `nearcode_embedder` keeps its table. It holds data only and is not imported."""
    spec = find_spec("nearcode_embedder")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            "the package nearcode-embedder is not installed: pip install 'nearcode[engine]'", Reason.MODEL_MISSING
        )
    return Path(spec.submodule_search_locations[0])


class WordTable:
    """Reads a folder's table and makes rows of words from it. Raises Unavailable(MODEL_MISSING)."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._rows = _read_rows(folder / FILES[0], dimensions)
        self._number = _read_names(folder / FILES[1], len(self._rows))
        self._words = Words(self)

    def words(self) -> "Words":
        """The words seen so far, with their rows. Ask anew for each piece of work: too many words are forgotten."""
        if len(self._words) > _WORDS:
            self._words = Words(self)
        return self._words

    def make(self, words: Sequence[str]) -> NDArray[np.int8]:
        """Rows of words, shape (words, dimensions), in steps that are the same for the whole table.

        A word that has no row is made of pieces: the sum of theirs over the root of their number, which keeps its norm whatever
        their number. A word of letters that no row has gets zeros: it tells nothing.
        """
        pieces = [pieces_of(word, self._number) for word in words]
        rows = np.zeros((len(words), self._rows.shape[1]), np.int8)
        whole = [at for at, each in enumerate(pieces) if len(each) == 1]
        rows[whole] = self._rows[[pieces[at][0] for at in whole]]
        for at in [at for at, each in enumerate(pieces) if len(each) > 1]:
            total = self._rows[pieces[at]].sum(axis=0, dtype=np.int32)
            rows[at] = np.clip(np.rint(total / np.sqrt(float(len(pieces[at])))), -127, 127)
        return rows


def pieces_of(word: str, number: Mapping[str, int]) -> list[int]:
    """The rows that a word is made of: its own, or those of its pieces, the longest first from left to right. Characters that
    no row has are left out."""
    own = number.get(word)
    if own is not None:
        return [own]
    pieces, start = [], 0
    while start < len(word):
        end = min(len(word), start + _LONGEST_PIECE)
        while end > start and word[start:end] not in number:
            end -= 1
        if end > start:
            pieces.append(number[word[start:end]])
        start = max(end, start + 1)
    return pieces


class Words:
    """Numbered words with their rows. Safe for several threads."""

    def __init__(self, table: WordTable) -> None:
        self._table = table
        self._turn = threading.Lock()
        self._number: dict[str, int] = {}
        self._waiting: list[str] = []
        self._rows = table.make([])
        self._made = 0
        self.expand = Expansion(lambda identifier: self._numbered(split_once(identifier)))
        """Identifiers to the numbers of their words."""

    def __len__(self) -> int:
        return len(self._number)

    def number(self, words: Sequence[str]) -> NDArray[np.int64]:
        """The number of each word."""
        return np.array(self._numbered(words), np.int64)

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int8]:
        """Shape (numbers, dimensions)."""
        with self._turn:
            if self._waiting:
                self._make_waiting()
            return self._rows[numbers]

    def _numbered(self, words: Sequence[str]) -> list[int]:
        with self._turn:
            for word in words:
                if word not in self._number:
                    self._number[word] = len(self._number)
                    self._waiting.append(word)
            return [self._number[word] for word in words]

    def _make_waiting(self) -> None:
        made = self._table.make(self._waiting)
        last = self._made + len(made)
        if last > len(self._rows):
            grown = np.empty((max(last, 2 * len(self._rows), 1024), made.shape[1]), np.int8)
            if self._made:
                grown[: self._made] = self._rows[: self._made]
            self._rows = grown
        self._rows[self._made : last] = made
        self._made = last
        self._waiting = []


def _read_rows(path: Path, dimensions: int) -> NDArray[np.int8]:
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _missing(path, error) from error
    if not isinstance(rows, np.ndarray) or rows.dtype != np.int8 or rows.ndim != 2 or rows.shape[1] != dimensions:
        raise _missing(path, f"it is not one table of rows of {dimensions} bytes")
    return rows


def _read_names(path: Path, rows: int) -> dict[str, int]:
    try:
        names = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(path, error) from error
    if len(names) != rows:
        raise _missing(path, f"it names {len(names)} words, the table has {rows} rows")
    return {name: at for at, name in enumerate(names)}


def _missing(path: Path, why: object) -> Unavailable:
    cure = "reinstall with pip install --force-reinstall 'nearcode[engine]', or correct the folder in the settings"
    return Unavailable(f"cannot read the embedding model {path}: {why}; {cure}", Reason.MODEL_MISSING, retry_after=60.0)
