"""The static embedder: a table of word vectors, composed into chunks on the CPU.

A chunk is unit(sum of log(1 + tf) E + 2 sum of the path's words' E) + 0.5 unit(mean of the file's chunks), normalized. A
question is the sum of idf^.25 E over its distinct words. The norms of the table's rows carry the weights of words.

Everything that is summed is a whole number (rows in int8, weights in steps), so sums are exact: a file's vectors have the same
bytes whatever else is in the batch, in whatever order, on whatever processor.
"""

import asyncio
import math
import threading
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.adapters.word_table import WordTable, shipped_folder
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.domain.terms import count_identifiers, count_words, path_words, term_id

PATH_WEIGHT = 2.0
"""Weight of each word of the path. Measured on questions whose answers are files: +.119 nDCG@10 for the vectors alone."""
FILE_WEIGHT = 0.5
"""Weight of the file's mean vector in each of its chunks; measured with it: +.013 nDCG@10 after ranking."""
QUESTION_POWER = 0.25
"""Of a word's idf in the scope, on the question's side; chosen with each of 31 repositories left out: +.004 nDCG@10 to .5."""

_WEIGHT_STEPS = 32
"""Steps of a word's weight log(1 + tf): 22 for a word that occurs once."""
_LARGEST_TF = 4095
_LARGEST_EXACT = 2**24
"""Whole numbers up to here are exact in float32."""
_UNIT_STEPS = 2.0**20
"""Steps of a unit vector's components before the last normalization."""
_CHUNKS = 32
"""Chunks whose words are looked up together; a file's chunks share many."""
_TILE_CHUNKS, _TILE_WORDS = 8, 96
"""Chunks and words of one matrix product: OpenBLAS uses threads from chunks x words x dimensions of 262,144 on."""

_LOG_TF = np.rint(np.log1p(np.arange(_LARGEST_TF + 1)) * _WEIGHT_STEPS)


class StaticEmbedder:
    """`folder` holds a table (`table.npy`, `words.txt`); None: the one in the package `nearcode-embedder`."""

    def __init__(self, profile: ModelProfile, folder: Path | None = None) -> None:
        self.profile = profile
        self._folder = folder
        self._table: WordTable | None = None
        self._loading = threading.Lock()

    async def load(self) -> None:
        """Reads the table, once; the first embedding does it otherwise. Raises Unavailable(MODEL_MISSING)."""
        if self._table is None:
            await asyncio.to_thread(self._loaded)

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        """One array of shape (chunks, dimensions) a file. Works in a thread. Raises Unavailable(MODEL_MISSING)."""
        return await asyncio.to_thread(self.embed, files)

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        """Shape (dimensions,). Raises Unavailable(MODEL_MISSING)."""
        await self.load()
        asked, words = list(count_words(text)), self._loaded().words()
        idf = np.array([weights.get(term_id(word), 1.0) for word in asked])
        total = np.clip(idf, 0.0, 1.0) ** QUESTION_POWER @ words.rows(words.number(asked)).astype(np.float64)
        vector: NDArray[np.float32] = _unit(total[None, :])[0].astype(np.float32)
        return vector

    def _loaded(self) -> WordTable:
        with self._loading:
            if self._table is None:
                self._table = WordTable(self._folder or shipped_folder(), self.profile.dimensions)
            return self._table

    def embed(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        """`embed_files` in the caller's thread."""
        counts = [each for file in files for each in file.counts or map(count_identifiers, file.texts)]
        paths = [words for file in files for words in repeat(path_words(file.path), len(file.texts))]
        chunks = np.empty((len(counts), self.profile.dimensions))
        for at in range(0, len(counts), _CHUNKS):  # whatever file they belong to
            chunks[at : at + _CHUNKS] = self._sums(counts[at : at + _CHUNKS], paths[at : at + _CHUNKS])
        chunks = _unit(chunks)
        ends = accumulate(len(file.texts) for file in files)
        return [_with_file(chunks[end - len(file.texts) : end]) for file, end in zip(files, ends, strict=True)]

    def _sums(self, counts: Sequence[Mapping[str, int]], paths: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Weighted sums of rows, shape (chunks, dimensions), whole numbers. `paths`: the words of each chunk's path."""
        words = self._loaded().words()
        identifiers = list(chain.from_iterable(counts))
        numbers, per_identifier = words.expand(identifiers)
        of_paths = words.number(list(chain.from_iterable(paths)))
        held, columns = np.unique(np.concatenate((of_paths, numbers)), return_inverse=True)
        tf = np.fromiter(chain.from_iterable(each.values() for each in counts), np.float64, len(identifiers))
        chunk = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
        cells = np.repeat(chunk, per_identifier) * len(held) + columns[len(of_paths) :]
        shape = len(counts), len(held)
        occurrences = np.bincount(cells, np.repeat(tf, per_identifier), minlength=shape[0] * shape[1]).reshape(shape)
        weights = _LOG_TF[np.minimum(occurrences, _LARGEST_TF).astype(np.int64)]
        of_chunk = np.repeat(np.arange(len(paths)), [len(each) for each in paths])
        weights[of_chunk, columns[: len(of_paths)]] += PATH_WEIGHT * _WEIGHT_STEPS  # a path's words are distinct
        return _exact_product(weights, words.rows(held))


def _with_file(chunks: NDArray[np.float64]) -> NDArray[np.float32]:
    """The final vectors of a file's chunks (unit vectors): each with a part of their mean."""
    whole = chunks.sum(axis=0)
    norm = math.sqrt(math.fsum(whole * whole))
    if norm:
        chunks = _unit(np.rint((chunks + FILE_WEIGHT / norm * whole) * _UNIT_STEPS))
    return chunks.astype(np.float32)


def _exact_product(weights: NDArray[np.float64], rows: NDArray[np.int8]) -> NDArray[np.float64]:
    """weights @ rows, a few chunks at a time and only over words that they hold.

    In float32 where every partial sum of whole numbers fits, which is nearly always. In small tiles, because BLAS gives larger
    ones to threads that spin on cores which others need: seen to take 2,500 us of CPU instead of 60.
    """
    products = np.zeros((len(weights), rows.shape[1]))
    for at in range(0, len(weights), _TILE_CHUNKS):
        some = weights[at : at + _TILE_CHUNKS]
        held = np.flatnonzero(some.any(axis=0))
        fits = some.sum(axis=1).max(initial=0.0) * np.iinfo(np.int8).max < _LARGEST_EXACT
        number = np.float32 if fits else np.float64
        for first in range(0, len(held), _TILE_WORDS):
            words = held[first : first + _TILE_WORDS]
            products[at : at + len(some)] += some[:, words].astype(number) @ rows[words].astype(number)
    return products


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros (a text without words) becomes the diagonal."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    empty = norms == 0.0
    if empty.any():
        vectors = np.where(empty[:, None], 1.0, vectors)
        norms = np.where(empty, math.sqrt(vectors.shape[1]), norms)
    scaled: NDArray[np.float64] = vectors / norms[:, None]
    return scaled
