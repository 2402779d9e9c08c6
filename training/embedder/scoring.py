"""Scores of a table on questions that files answer: vectors composed as the engine composes them, cosine alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nearcode.adapters.static_embedder import FILE_WEIGHT, PATH_WEIGHT, QUESTION_POWER
from nearcode.domain.terms import path_words, term_id
from nearcode.retrieval.idf import Idf, load_prior
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.embedder.matrices import Rows, Vocabulary
from training.embedder.questions import Asked


@dataclass(slots=True)
class Counted:
    """Stands for a revision: how many files, and in how many each term occurs."""

    repository: str
    files: int
    terms: Counter[int]

    def file_count(self) -> int:
        return self.files

    def term_files(self, term: int) -> int:
        return self.terms[term]


@dataclass(slots=True)
class Examination:
    """A package as matrices over one vocabulary: chunks by word (tf), files by path word, questions by word (idf)."""

    chunks: csr_matrix
    paths: csr_matrix
    file_of: NDArray[np.int64]
    questions: csr_matrix
    answers: NDArray[np.int64]
    kinds: list[str]


def examinations(asked: Sequence[Asked], vocabulary: Vocabulary) -> list[Examination]:
    """Reads the packages' words into matrices; `vocabulary` grows, and all are as wide as it is in the end."""
    raw = [_count(each, vocabulary) for each in asked]
    width = len(vocabulary.number)
    return [
        Examination(_matrix(chunks, width), _matrix(paths, width), file_of, _matrix(questions, width), answers, kinds)
        for chunks, paths, file_of, questions, answers, kinds in raw
    ]


def _matrix(rows: Rows, width: int) -> csr_matrix:
    return csr_matrix(
        (np.array(rows.values), np.array(rows.columns), np.array(rows.starts)), shape=(len(rows.starts) - 1, width)
    )


def _count(asked: Asked, vocabulary: Vocabulary) -> tuple[Rows, Rows, NDArray[np.int64], Rows, NDArray[np.int64], list[str]]:
    chunks, paths, questions = Rows(), Rows(), Rows()
    file_of: list[int] = []
    terms: Counter[int] = Counter()
    for number, (path, counts) in enumerate(asked.files.items()):
        terms.update({term_id(word) for each in counts for word in each})
        paths.count(vocabulary, dict.fromkeys(path_words(path), 1.0))
        for each in counts:
            chunks.count(vocabulary, each)
            file_of.append(number)
    idf = Idf(load_prior(), [Counted("", len(asked.files), terms)])  # type: ignore[list-item]  # all that it asks of a revision
    place = {path: number for number, path in enumerate(asked.files)}
    kept = [each for each in asked.questions if each[2] in place]
    for _, words, _ in kept:
        questions.count(vocabulary, {word: idf.weight(term_id(word)) for word in words})
    answers = np.array([place[path] for *_, path in kept], np.int64)
    return chunks, paths, np.array(file_of), questions, answers, [kind for kind, *_ in kept]


def score(examination: Examination, rows: NDArray[np.float32], power: float = QUESTION_POWER) -> NDArray[np.float64]:
    """nDCG@10 of each question; `rows` has one row a word. Files are ranked by their best chunk."""
    vectors = chunk_vectors(examination, rows)
    questions = examination.questions.copy()
    questions.data = np.clip(questions.data, 0, 1) ** power
    similar = unit(np.asarray(questions @ rows, np.float32)) @ vectors.T
    starts = np.flatnonzero(np.diff(examination.file_of, prepend=-1))
    best = np.maximum.reduceat(similar, starts, axis=1)
    column = np.searchsorted(examination.file_of[starts], examination.answers)
    own = best[np.arange(len(best)), column]
    rank = (best > own[:, None]).sum(axis=1) + 1
    return np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0)


def chunk_vectors(examination: Examination, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The engine's composition, in floating point."""
    counts = examination.chunks.copy()
    counts.data = np.log1p(counts.data)
    paths = PATH_WEIGHT * (examination.paths @ rows)
    chunks = unit(np.asarray(counts @ rows + paths[examination.file_of], np.float32))
    files = np.zeros((examination.paths.shape[0], rows.shape[1]), np.float32)
    np.add.at(files, examination.file_of, chunks)
    return unit(np.asarray(chunks + FILE_WEIGHT * unit(files)[examination.file_of], np.float32))


def mean_score(exams: Sequence[Examination], rows: NDArray[np.float32], power: float = QUESTION_POWER) -> dict[str, float]:
    """Means over packages, by kind of question and of all kinds."""
    by_kind: dict[str, list[float]] = {}
    for each in exams:
        if not len(each.answers):
            continue
        scores = score(each, rows, power)
        for kind in set(each.kinds):
            by_kind.setdefault(kind, []).append(float(scores[np.array(each.kinds) == kind].mean()))
    told = {kind: float(np.mean(values)) for kind, values in sorted(by_kind.items())}
    return {**told, "mean": float(np.mean(list(told.values())))}


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
