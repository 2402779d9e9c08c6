"""How likely an answer, and each of its snippets, is useful: logistic models over what the answer shows of itself.

The weights are data (calibration.json), learned by training/calibration/train.py from generated questions on public packages,
and say there what they were learned from. A probability of p means: of a hundred such answers, about 100 p held what was
asked for.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CALIBRATION_FILE = Path(__file__).with_name("calibration.json")

QUESTION, CURSOR = "question", "cursor"
ONE, SEVERAL = "one", "several"
"""Kinds of queries, and of scopes: one repository or several. Each pair has a model a plan, as `question hybrid one`, for what
makes an answer good differs: a lane that did not answer is no evidence against what the others found, and among much code
something is always alike."""
SURE = 4.0
"""Log odds of an answer beyond which they say no more of its snippets: 98 of 100."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A logistic model: bias and weights by the name of the evidence. What it has no weight for does not count.

    `bounds` are the smallest and largest values that were learned from; evidence beyond counts as these.
    """

    bias: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def logit(self, evidence: Mapping[str, float]) -> float:
        """The log of the odds."""
        return self.bias + sum(weight * self._bounded(name, evidence.get(name, 0.0)) for name, weight in self.weights.items())

    def _bounded(self, name: str, value: float) -> float:
        low, high = self.bounds.get(name, (value, value))
        return min(high, max(low, value))

    def probability(self, evidence: Mapping[str, float]) -> float:
        """From 0 to 1."""
        return logistic(self.logit(evidence))

    def probabilities(self, evidence: Mapping[str, NDArray[np.float64]], count: int) -> list[float]:
        """`probability` of each of `count` rows of evidence, to the bit: it is summed in the same order."""
        total = np.zeros(count)
        for name, weight in self.weights.items():
            low, high = self.bounds.get(name, (-math.inf, math.inf))
            total = total + weight * np.minimum(high, np.maximum(low, evidence.get(name, np.zeros(count))))
        return [logistic(logit) for logit in (self.bias + total).tolist()]


@dataclass(frozen=True, slots=True)
class Model:
    """One kind of query: the curve of whole answers, that of snippets, and below which probability each is not useful."""

    answer: Curve
    snippet: Curve
    answer_cutoff: float = 0.0
    snippet_cutoff: float = 0.0


UNKNOWN = Model(Curve(), Curve(weights={"answer": 1.0}))
"""Knows nothing: one half, and no cut-off."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How likely an answer is useful, each snippet of it, and which snippets are worth showing."""

    probability: float
    snippets: tuple[float, ...]
    useful: bool
    kept: int


def judge(model: Model, evidence: Mapping[str, float], scores: Sequence[float]) -> Verdict:
    """Judges an answer. `scores` are those of its ranked snippets, best first; a lower score is never more likely useful.

    The answer is useful or not as a whole. Of a useful one, `kept` snippets from the top are at least as likely useful as
    the cut-off for snippets.
    """
    if not scores or not evidence:
        return Verdict(0.0, (0.0,) * len(scores), useful=False, kept=0)
    logit = model.answer.logit(evidence)
    probability = logistic(logit)
    own = model.snippet.probabilities(_snippets_evidence(logit, scores), len(scores))
    snippets = list(accumulate(own, min))
    useful = probability >= model.answer_cutoff
    kept = sum(each >= model.snippet_cutoff for each in snippets) if useful else 0
    return Verdict(probability, tuple(snippets), useful and kept > 0, kept)


def snippet_evidence(answer_logit: float, best: float, score: float, rank: int) -> dict[str, float]:
    """What is known of a snippet beside its answer: how far below the best it lies, and its rank from 0. A sure answer says
    much of its first snippet and little of the others."""
    sure, later = max(-SURE, min(SURE, answer_logit)), float(rank > 0)
    behind = min(2.0, (best - score) / (abs(best) or 1.0))
    return {
        "answer": sure, "answer of later": sure * later, "later": later,
        "behind": behind, "root of behind": math.sqrt(behind), "rank": math.log1p(rank),
    }  # fmt: skip


def _snippets_evidence(answer_logit: float, scores: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """`snippet_evidence` of each snippet of an answer, best first, to the bit."""
    sure, best = max(-SURE, min(SURE, answer_logit)), scores[0]
    later = np.ones(len(scores))
    later[0] = 0.0
    behind = np.minimum(2.0, (best - np.array(scores)) / (abs(best) or 1.0))
    rank = np.array(_log_ranks(len(scores)))
    return {
        "answer": np.full(len(scores), sure), "answer of later": sure * later, "later": later,
        "behind": behind, "root of behind": np.sqrt(behind), "rank": rank,
    }  # fmt: skip


@lru_cache(maxsize=1024)
def _log_ranks(count: int) -> tuple[float, ...]:
    return tuple(map(math.log1p, range(count)))  # numpy's differs in the last bit


def logistic(logit: float) -> float:
    """The odds' logarithm as a probability, for any size of it."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))


@lru_cache(maxsize=4)
def load_models(path: Path = CALIBRATION_FILE) -> Mapping[str, Model]:
    """The models that are shipped with the package, by kind of query, plan and scope."""
    data = json.loads(path.read_text("utf-8"))
    return {kind: model_from(each) for kind, each in data["models"].items()}


def model_for(cursor: bool, plan: str, repositories: int, issue: bool = False) -> Model:
    """The model for a kind of query under a plan; one that cuts nothing off where nothing was learned.

    Issues are long, so that much in them is found nowhere: by the cut-off for questions one in six would lose its answer (80
    commit messages of public repositories). They are judged, but never refused.
    """
    kind, scope = CURSOR if cursor else QUESTION, SEVERAL if repositories > 1 and not cursor else ONE
    model = load_models().get(f"{kind} {plan} {scope}", UNKNOWN)
    return replace(model, answer_cutoff=0.0) if issue else model


def model_from(data: Mapping[str, object]) -> Model:
    """A model as its file says it."""
    curves = {}
    for name in ("answer", "snippet"):
        curve = data[name]
        assert isinstance(curve, Mapping)
        weights = {key: float(value) for key, value in curve["weights"].items()}
        bounds = {key: (float(low), float(high)) for key, (low, high) in curve.get("bounds", {}).items()}
        curves[name] = Curve(float(curve["bias"]), weights, bounds)
    cutoffs = [float(str(data[name])) for name in ("answer_cutoff", "snippet_cutoff")]
    return Model(curves["answer"], curves["snippet"], *cutoffs)
