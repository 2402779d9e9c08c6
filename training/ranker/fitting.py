"""Weights that rank files: a listwise loss over the best chunk of each file, with shrinkage.

For every file that answers, the loss is the negative logarithm of its share in a softmax over itself and the files that do not
(ListNet's top-one probability, Cao et al. 2007, restricted so that answers do not compete with each other).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from training.ranker.matrices import Matrix

TEMPERATURE = 8.0
"""Sharpness of the softmax: weights then come out around 1, and shrinkage means the same for every set."""
STEPS = 200


@dataclass(frozen=True, slots=True)
class Batch:
    """Every question in one matrix: rows sorted by question and file; `answers` and `question` are by file."""

    values: NDArray[np.float64]
    file: NDArray[np.int64]
    starts: NDArray[np.int64]
    answers: NDArray[np.bool_]
    question: NDArray[np.int64]
    firsts: NDArray[np.int64]

    @classmethod
    def of(cls, questions: Sequence[Matrix], names: Sequence[str]) -> "Batch":
        """Questions without an answer among their candidates teach nothing and are left out."""
        values, file, starts, answers, question, firsts = [], [], [], [], [], []
        rows = files = 0
        for number, one in enumerate(each for each in questions if each.matched.any()):
            order = np.argsort(one.files, kind="stable")
            _, first, inverse = np.unique(one.files[order], return_index=True, return_inverse=True)
            values.append(one.columns(names)[order])
            file.append(files + inverse)
            starts.append(rows + first)
            answers.append(np.bincount(inverse, one.matched[order].any(axis=1)) > 0)
            question.append(np.full(len(first), number))
            firsts.append(files)
            rows, files = rows + len(order), files + len(first)
        join = np.concatenate
        return cls(join(values), join(file), join(starts), join(answers), join(question), np.array(firsts))

    def loss(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The mean over questions, and its gradient, shape (features,)."""
        scores = TEMPERATURE * (self.values @ weights)
        best = np.maximum.reduceat(scores, self.starts)
        reached = np.flatnonzero(scores == best[self.file])[::-1]
        row = np.empty(len(best), np.int64)
        row[self.file[reached]] = reached
        odds = np.exp(best - np.maximum.reduceat(best, self.firsts)[self.question])
        total = np.bincount(self.question, odds * ~self.answers)
        share = 1.0 / np.bincount(self.question, self.answers)[self.question]
        among = total[self.question] + odds
        probability = odds / among
        loss = -(np.log(probability + 1e-12) * share)[self.answers].sum()
        pull = np.bincount(self.question, self.answers * share / among)
        slope = np.where(self.answers, -(1.0 - probability) * share, odds * pull[self.question])
        return loss / len(self.firsts), TEMPERATURE * (slope @ self.values[row]) / len(self.firsts)


def fit(batches: Sequence[tuple[Batch, float]], around: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    """Weights, shape (features,), of the least sum of weighed losses and `shrinkage` times the squared way from `around`."""

    def total(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        losses = [(*batch.loss(weights), share) for batch, share in batches]
        way = weights - around
        value = sum(loss * share for loss, _, share in losses) + shrinkage * float(way @ way)
        return value, np.sum([slope * share for _, slope, share in losses], axis=0) + 2 * shrinkage * way

    found: NDArray[np.float64] = minimize(total, around, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    return found
