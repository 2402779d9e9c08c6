"""Scores of ranked snippets against files that answer a question, and intervals of their means."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nearcode.domain.retrieval import Snippet
from numpy.typing import NDArray

SEED = 20261121
SAMPLES = 10_000

Target = str | dict[str, Any]


def matches(snippet: Snippet, target: Target) -> bool:
    """Whether a snippet is of the file, and touches the lines if there are any."""
    path = target if isinstance(target, str) else target["path"]
    if not (snippet.path == path or snippet.path.endswith("/" + path) or path.endswith("/" + snippet.path)):
        return False
    start, end = ("", "") if isinstance(target, str) else (target.get("start_line") or "", target.get("end_line") or "")
    return start == "" or end == "" or not (snippet.end_line < int(start) or snippet.start_line > int(end))


def ndcg(snippets: Sequence[Snippet], targets: Sequence[Target], k: int = 10) -> float:
    """nDCG@k with binary relevance. Each target counts once, at the first snippet that matches it."""
    ranks = {next((at for at, one in enumerate(snippets[:k], 1) if matches(one, target)), 0) for target in targets} - {0}
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(targets)) + 1))
    return sum(1 / math.log2(rank + 1) for rank in ranks) / ideal if ideal else 0.0


def elsewhere(snippet: Snippet) -> Snippet:
    """The snippet at a path that no target names: a file of the same name in another repository answers nothing."""
    return Snippet(snippet.repository, "\0", snippet.blob, 0, 0, snippet.score, "")


def targets(question: dict[str, Any]) -> list[Target]:
    """What answers a question of the benchmark."""
    return [*question.get("relevant", []), *question.get("secondary", [])]


def interval(
    groups: Sequence[NDArray[np.float64]], statistic: Callable[[NDArray[np.float64]], float] = np.mean
) -> tuple[float, float]:
    """95 % of the mean over groups of each group's statistic: groups are drawn, and values within each."""
    chance = np.random.default_rng(SEED)
    means = []
    for _ in range(SAMPLES):
        drawn = [groups[at] for at in chance.integers(0, len(groups), len(groups))]
        means.append(np.mean([statistic(one[chance.integers(0, len(one), len(one))]) for one in drawn]))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
