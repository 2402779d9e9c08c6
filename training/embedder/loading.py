"""Reads what `data.py` wrote: the table's names, examples over its rows, and examinations."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from training.embedder.learning import Examples
from training.embedder.matrices import Vocabulary, load_rows, read_words
from training.embedder.pairs import COMMENT, DOC, GUIDE, NAME, PATH
from training.embedder.scoring import Examination, examinations
from training.embedder.table import choose_rows, spread

SHARES = {DOC: 1.0, NAME: 0.21, COMMENT: 0.3, PATH: 0.25, GUIDE: 1.0}
"""Of each kind of pair that is learned from."""
SEED = 20261121


@dataclass(slots=True)
class Material:
    """Names of the table's rows, examples over rows, and examinations over words that `rows_of` makes of rows."""

    names: list[str]
    examples: Examples
    exams: list[Examination]
    rows_of: csr_matrix


def load_material(home: Path) -> Material:
    """Reads all of it; about 3 GB."""
    words = read_words(home / "words.txt")
    data = np.load(home / "pairs.npz")
    question, body, name, path = (load_rows(data, each, len(words)) for each in ("question", "body", "name", "path"))
    seen = np.bincount(question.indices, minlength=len(words)) + np.bincount(body.indices, minlength=len(words))
    names = choose_rows(words, seen)
    made = spread(words, names)
    body.data = np.log1p(body.data)
    held = body.astype(bool).astype(np.float32)
    bare = body - body.multiply(name.multiply(held).astype(bool))
    bare.eliminate_zeros()
    too_little = np.asarray((bare > 0).sum(axis=1)).ravel() < 4
    bare = diags(1.0 - too_little) @ bare + diags(too_little.astype(np.float32)) @ body
    chosen = _balanced(data["kind"])
    parts = [each[chosen] for each in (question, bare, body, path)]
    asked, without, code, places = (_rows(each, made) for each in parts)
    examples = Examples(asked, without, code, places, data["package"][chosen])
    vocabulary = Vocabulary({word: at for at, word in enumerate(words)})
    exams = examinations(pickle.loads((home / "questions.pickle").read_bytes()), vocabulary)
    width = max(each.chunks.shape[1] for each in exams)
    rows_of = spread(list(vocabulary.number)[:width], names)
    return Material(names, examples, exams, rows_of)


def _balanced(kinds: NDArray[np.int8]) -> NDArray[np.int64]:
    """Numbers of the examples that are kept, in order, so that documentation is more than half of them."""
    shares = np.array([SHARES[kind] for kind in range(len(SHARES))])
    return np.flatnonzero(np.random.default_rng(SEED).random(len(kinds)) < shares[kinds])


def _rows(counts: csr_matrix, made: csr_matrix) -> csr_matrix:
    return csr_matrix(counts @ made, dtype=np.float32)
