"""Logistic regression for few features: weighted, regularized, by Newton's method; and how well it is calibrated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
RIDGE = 10.0
"""Strength of the pull towards 0, in examples. The best of 1, 3, 10 and 30 out of fold."""
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


def fit(names: Sequence[str], features: Numbers, useful: Numbers, weights: Numbers, signs: Mapping[str, int]) -> Fit:
    """Fits; `weights` are those of examples. Features are scaled while it fits, so that the ridge treats them alike.

    `signs` says of a feature whether it may only raise (1) or only lower (-1) a probability: one that wants to do the other
    is left out, the most wrong first. Evidence then means elsewhere what it means here.
    """
    mean = np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    used = np.flatnonzero(spread > 1e-9)
    scaled = np.column_stack([np.ones(len(features)), (features - mean) / np.where(spread > 1e-9, spread, 1.0)])
    wanted = np.array([signs.get(name, 0) for name in names])
    while True:
        solved = _newton(scaled[:, [0, *(used + 1)]], useful, weights)
        wrong = solved[1:] * wanted[used]
        if not len(used) or wrong.min() >= 0.0:
            break
        used = np.delete(used, wrong.argmin())
    raw = np.zeros(len(names))
    raw[used] = solved[1:] / spread[used]
    return Fit(tuple(names), float(solved[0] - raw @ mean), raw)


def _newton(scaled: Numbers, useful: Numbers, weights: Numbers) -> Numbers:
    """The weights of scaled features, the first of which is 1 and not pulled towards 0."""
    ridge = np.diag([0.0, *([RIDGE] * (scaled.shape[1] - 1))])
    solved = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        chance = sigmoid(scaled @ solved)
        slope = scaled.T @ (weights * (chance - useful)) + ridge @ solved
        curve = (scaled * (weights * np.maximum(chance * (1 - chance), 1e-6))[:, None]).T @ scaled + ridge
        step = np.linalg.solve(curve, slope)
        solved = solved - step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(solved)


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
