"""Logistic regression for few features: weighted, regularized, by Newton's method; and how well it is calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
RIDGE = 1.0
"""Strength of the pull towards 0, in examples: features of few examples then keep small weights."""
STEPS = 60
BINS = 10


@dataclass(frozen=True, slots=True)
class Fit:
    """Bias and weights of named features."""

    names: tuple[str, ...]
    bias: float
    weights: Numbers

    def logits(self, features: Numbers) -> Numbers:
        """Shape (examples,) for features of shape (examples, names)."""
        return self.bias + features @ self.weights


def fit(names: Sequence[str], features: Numbers, useful: Numbers, weights: Numbers, free: Sequence[int] = ()) -> Fit:
    """Fits; `weights` are those of examples. Features are scaled while it fits, so that the ridge treats them alike.

    Features at the places of `free` keep a weight of at most 0: what may only lower a probability.
    """
    mean = np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    used = np.flatnonzero(spread > 1e-9)
    scaled = np.column_stack([np.ones(len(features)), (features[:, used] - mean[used]) / spread[used]])
    ridge = np.diag([0.0, *([RIDGE] * len(used))])
    solved = np.zeros(len(used) + 1)
    for _ in range(STEPS):
        chance = sigmoid(scaled @ solved)
        slope = scaled.T @ (weights * (chance - useful)) + ridge @ solved
        curve = (scaled * (weights * np.maximum(chance * (1 - chance), 1e-6))[:, None]).T @ scaled + ridge
        step = np.linalg.solve(curve, slope)
        solved = solved - step
        if np.abs(step).max() < 1e-9:
            break
    raw = np.zeros(len(names))
    raw[used] = solved[1:] / spread[used]
    wrong = [at for at in free if raw[at] > 0.0]
    if wrong:
        kept = features.copy()
        kept[:, wrong] = 0.0
        return fit(names, kept, useful, weights)
    return Fit(tuple(names), float(solved[0] - raw @ mean), raw)


def sigmoid(logits: Numbers) -> Numbers:
    """Log odds to probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0))))


def calibration_error(chance: Numbers, useful: Numbers, weights: Numbers) -> float:
    """Expected calibration error: ten bins of equal width, each weighed by its examples (Naeini et al. 2015)."""
    total = 0.0
    for _, said, was, weight in reliability(chance, useful, weights):
        total += weight * abs(said - was)
    return total


def reliability(chance: Numbers, useful: Numbers, weights: Numbers) -> list[tuple[float, float, float, float]]:
    """For each bin that has examples: its lower end, the mean probability, the share that was useful, its share of examples."""
    rows = []
    places = np.minimum((chance * BINS).astype(int), BINS - 1)
    for place in range(BINS):
        inside = places == place
        weight = float(weights[inside].sum())
        if weight:
            said, was = (float(np.average(each[inside], weights=weights[inside])) for each in (chance, useful))
            rows.append((place / BINS, said, was, weight / float(weights.sum())))
    return rows


def folds(groups: Sequence[str], count: int) -> list[NDArray[np.bool_]]:
    """Masks of the examples that each fold holds out: whole groups, dealt in order of their names."""
    names = sorted(set(groups))
    dealt = {name: at % count for at, name in enumerate(names)}
    numbers = np.array([dealt[group] for group in groups])
    return [numbers == fold for fold in range(count)]
