"""The learned ranker for questions in words: a weighted sum of features, so that every score can be told in its parts.

Weights are made by `python -m training.ranker` and lie in ranker.json; those for issues are made by
`python -m training.ranker.issues` and lie in issues.json. Where a transformer's lane answered too, it speaks for a share of
what the static vectors count.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.diversity import AGAIN, spread
from nearcode.retrieval.fusion import GRAIN, Candidate, Lanes

CHAT_SHARE = 0.5
"""What the transformer's features count of what the static vectors' count. nDCG@10 of 328 questions about 10 public packages
with bge-small-en-v1.5: .9465, with a share of .25 .9383, of .75 .9437; without the lane .9365."""
CHAT_FEATURES = {"dense": "chat", "dense above the last": "chat above the last", "dense rank": "chat rank"}
"""Whose weight is shared with which."""
WEIGHTS_FILE = Path(__file__).with_name("ranker.json")
ISSUES_FILE = Path(__file__).with_name("issues.json")


@lru_cache(maxsize=4)
def load_weights(path: Path = WEIGHTS_FILE) -> Mapping[str, float]:
    """Weights of features, as shares of the unit of fusion."""
    return dict(json.loads(path.read_text("utf-8"))["weights"])


def weights_for(lanes: Lanes, issue: bool = False) -> Mapping[str, float]:
    """The weights for what answered a question, or an issue."""
    weights = load_weights(ISSUES_FILE if issue else WEIGHTS_FILE)
    return with_chat(weights, CHAT_SHARE) if lanes.chat else weights


def with_chat(weights: Mapping[str, float], share: float) -> Mapping[str, float]:
    """Gives the transformer's features a share of the weights of those of the static vectors."""
    shared = dict(weights)
    for static, chat in CHAT_FEATURES.items():
        shared[chat] = share * weights.get(static, 0.0)
        shared[static] = (1.0 - share) * weights.get(static, 0.0)
    return shared


def rank_by(
    weights: Mapping[str, float], candidates: Sequence[Candidate], features: Mapping[str, NDArray[np.float64]], unit: float
) -> list[Candidate]:
    """Adds every weighed feature (shape (candidates,)) and sorts, best first."""
    names = [name for name in weights if name in features]
    if candidates and names:
        each = np.array([unit * weights[name] for name in names])
        weighed = each * np.array([features[name] for name in names]).T
        parts = np.rint(weighed / GRAIN) * GRAIN  # as Candidate.add does, at once
        for candidate, row, score in zip(candidates, parts, parts.sum(axis=1).tolist(), strict=True):
            candidate.weighed, candidate.score = (names, row), score
    return spread(candidates, AGAIN)
