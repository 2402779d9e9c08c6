"""Scores of weights in the sample they were fitted to, and out of it: each repository by weights that never saw it."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from nearcode.retrieval.diversity import AGAIN
from numpy.typing import NDArray

from training.ranker.fitting import Batch, fit
from training.ranker.matrices import Matrix

Sets = Mapping[str, Sequence[Matrix]]
LIMIT = 10


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


def learn(
    sets: Sets, shares: Mapping[str, float], names: Sequence[str], without: frozenset[str] = frozenset()
) -> NDArray[np.float64]:
    """Weights from every set, each counting its share, without some repositories."""
    kept = {name: [each for each in questions if each.repository not in without] for name, questions in sets.items()}
    return fit([(Batch.of(questions, names), shares[name]) for name, questions in kept.items()], len(names))


def by_repository(questions: Sequence[Matrix], weights: NDArray[np.float64], names: Sequence[str]) -> dict[str, list[float]]:
    """nDCG@10 of each question."""
    found: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        found[question.repository].append(ndcg(question, question.columns(names) @ weights))
    return found


def mean(found: Mapping[str, Sequence[float]]) -> float:
    """Over repositories."""
    return float(np.mean([np.mean(each) for each in found.values()]))


def out_of_fold(
    sets: Sets, shares: Mapping[str, float], names: Sequence[str], folds: int = 0
) -> dict[str, dict[str, list[float]]]:
    """By set and repository, of weights that never saw the repository. `folds` 0: one a repository."""
    found: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for name, questions in sets.items():
        assert questions, name
    repositories = sorted({each.repository for questions in sets.values() for each in questions})
    count = folds or len(repositories)
    for left_out in (frozenset(repositories[at::count]) for at in range(count)):
        weights = learn(sets, shares, names, left_out)
        for name, questions in sets.items():
            found[name] |= by_repository([each for each in questions if each.repository in left_out], weights, names)
    return found
