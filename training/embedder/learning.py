"""Contrastive learning of a table: a question's sum of rows shall be nearest to its own code's in the batch.

InfoNCE both ways (van den Oord et al. 2018) with in-batch negatives, of which runs of pairs come from one package: they are
told apart by what the code does, not by whose it is. Adam (Kingma and Ba 2015).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

Matrix = NDArray[np.float32]
_LOG = logging.getLogger("nearcode.training")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is chosen on the held-out packages. `drop_name`, `add_path`: shares of the code that lose their name's words and get
    their path's; `temperature`: of cosines; `rate` falls to a tenth; rows start with norms up to 1."""

    steps: int = 150
    batch: int = 2048
    run: int = 64
    rate: float = 1e-3
    temperature: float = 0.05
    drop_name: float = 0.25
    add_path: float = 1.0
    path_weight: float = 2.0
    seed: int = 20261121


@dataclass(slots=True)
class Examples:
    """Rows over the table: questions, code without and with its name (log tf), paths. `package` has runs of equal numbers."""

    questions: csr_matrix
    bare: csr_matrix
    named: csr_matrix
    paths: csr_matrix
    package: NDArray[np.int32]


def learn(rows: Matrix, examples: Examples, recipe: Recipe, watch: Callable[[int, Matrix], None] = lambda *_: None) -> Matrix:
    """The learned table. The same inputs give the same table on one machine."""
    chance = np.random.default_rng(recipe.seed)
    rows = rows.copy()
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    runs = _runs(examples.package, recipe.run)
    queue: list[NDArray[np.int64]] = []
    for step in range(1, recipe.steps + 1):
        wanted = recipe.batch // recipe.run
        if len(queue) < wanted:
            queue.extend(runs[at] for at in chance.permutation(len(runs)))
        batch = np.concatenate([queue.pop() for _ in range(wanted)])
        questions, code = _draw(examples, batch, recipe, chance)
        gradient, loss = _gradient(rows, questions, code, recipe.temperature)
        rate = recipe.rate * (0.1 + 0.9 * (1 - step / recipe.steps))
        _adam(rows, gradient, first, second, step, rate)
        if step % 50 == 0:
            _LOG.info("step %d, loss %.3f", step, loss)
            watch(step, rows)
    return rows


def _runs(package: NDArray[np.int32], length: int) -> list[NDArray[np.int64]]:
    """Numbers of examples, `length` in a row, each run within one package where it has as many."""
    starts = np.arange(0, len(package) - length, length)
    return [np.arange(start, start + length) for start in starts]


def _draw(
    examples: Examples, batch: NDArray[np.int64], recipe: Recipe, chance: np.random.Generator
) -> tuple[csr_matrix, csr_matrix]:
    bare = chance.random(len(batch)) < recipe.drop_name
    code = vstack([examples.bare[batch[bare]], examples.named[batch[~bare]]], "csr")
    order = np.concatenate((batch[bare], batch[~bare]))
    weights = recipe.path_weight * (chance.random(len(order)) < recipe.add_path)
    scale = csr_matrix((weights.astype(np.float32), (np.arange(len(order)), np.arange(len(order)))))
    return examples.questions[order], code + scale @ examples.paths[order]


def _gradient(rows: Matrix, questions: csr_matrix, code: csr_matrix, temperature: float) -> tuple[Matrix, float]:
    """Of the loss with respect to the rows, and the loss."""
    asked, asked_norm = _normal(questions @ rows)
    given, given_norm = _normal(code @ rows)
    logits = asked @ given.T / temperature
    forth, back = _softmax(logits), _softmax(logits.T).T
    own = np.arange(len(logits))
    loss = -float(np.log(np.maximum(forth[own, own] * back[own, own], 1e-20)).mean()) / 2
    slope = np.asarray(forth + back, np.float32)
    slope[own, own] -= 2
    slope /= 2 * temperature * len(logits)
    to_asked = _through_norm(slope @ given, asked, asked_norm)
    to_given = _through_norm(slope.T @ asked, given, given_norm)
    gradient = vstack([questions, code]).T.tocsr() @ np.concatenate((to_asked, to_given))
    return np.asarray(gradient, np.float32), loss


def _normal(vectors: Matrix) -> tuple[Matrix, Matrix]:
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return vectors / norms, norms


def _through_norm(slope: Matrix, normal: Matrix, norms: Matrix) -> Matrix:
    return np.asarray((slope - normal * np.sum(slope * normal, axis=1, keepdims=True)) / norms, np.float32)


def _softmax(logits: Matrix) -> Matrix:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _adam(rows: Matrix, gradient: Matrix, first: Matrix, second: Matrix, step: int, rate: float) -> None:
    first *= 0.9
    first += 0.1 * gradient
    second *= 0.999
    np.square(gradient, out=gradient)
    second += 0.001 * gradient
    size = np.sqrt(second)
    size /= np.sqrt(1 - 0.999**step)
    size += 1e-8
    np.divide(first, size, out=size)
    size *= rate / (1 - 0.9**step)
    rows -= size
