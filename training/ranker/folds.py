"""Scores of weights in the sample they were fitted to, and out of it: each repository by weights that never saw it."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nearcode.retrieval.diversity import AGAIN
from numpy.typing import NDArray

from training.ranker.fitting import Batch, fit
from training.ranker.matrices import Matrix

Sets = Mapping[str, Sequence[Matrix]]
LIMIT = 10
SHRINKAGE = 1e-2
"""Weight of the squared weights, for what packages teach: of .001, .003, .01 and .03 the best on folds of repositories."""
PULL = 0.25
"""Weight of the squared way from what packages taught. With less the sets' scores in the sample rise, those out of fold do not:
with .1 they lie .012 apart, with .2 .010."""


def ndcg(question: Matrix, scores: NDArray[np.float64]) -> float:
    """nDCG@10 of candidates with these scores, each further chunk of a file lowered as the engine does it."""
    seen: dict[int, int] = defaultdict(int)
    lowered = scores.copy()
    for place in np.argsort(-scores, kind="stable"):
        file = int(question.files[place])
        lowered[place] -= (1.0 - AGAIN ** seen[file]) * abs(scores[place])
        seen[file] += 1
    top = question.matched[np.argsort(-lowered, kind="stable")[:LIMIT]]
    ranks = {int(np.flatnonzero(column)[0]) + 1 for column in top.T if column.any()}
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(LIMIT, top.shape[1]) + 1))
    return sum(1 / math.log2(rank + 1) for rank in ranks) / ideal


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is learned from: `first` alone gives weights, around which `sets`, each counting its share, move them."""

    sets: Sets
    shares: Mapping[str, float]
    first: Sequence[Matrix]
    names: tuple[str, ...]

    def learn(self, without: frozenset[str] = frozenset()) -> NDArray[np.float64]:
        """Weights, shape (features,), without some repositories."""
        start = fit([(self._batch(self.first, without), 1.0)], np.zeros(len(self.names)), SHRINKAGE)
        batches = [(self._batch(questions, without), self.shares[name]) for name, questions in self.sets.items()]
        return fit(batches, start, PULL)

    def _batch(self, questions: Sequence[Matrix], without: frozenset[str]) -> Batch:
        return Batch.of([each for each in questions if each.repository not in without], self.names)


def by_repository(questions: Sequence[Matrix], weights: NDArray[np.float64], names: Sequence[str]) -> dict[str, list[float]]:
    """nDCG@10 of each question."""
    found: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        found[question.repository].append(ndcg(question, question.columns(names) @ weights))
    return found


def mean(found: Mapping[str, Sequence[float]]) -> float:
    """Over repositories."""
    return float(np.mean([np.mean(each) for each in found.values()]))


def out_of_fold(recipe: Recipe, folds: int = 0) -> dict[str, dict[str, list[float]]]:
    """By set and repository, of weights that never saw the repository. `folds` 0: one a repository."""
    found: dict[str, dict[str, list[float]]] = defaultdict(dict)
    repositories = sorted({each.repository for questions in recipe.sets.values() for each in questions})
    count = folds or len(repositories)
    for left_out in (frozenset(repositories[at::count]) for at in range(count)):
        weights = recipe.learn(left_out)
        for name, questions in recipe.sets.items():
            held = [each for each in questions if each.repository in left_out]
            found[name] |= by_repository(held, weights, recipe.names)
    return found
