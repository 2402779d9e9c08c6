"""The learned ranker for questions in words: a weighted sum of features, so that every score can be told in its parts.

Weights are made by `python -m training.ranker` and lie in ranker.json, one set for answers without a transformer's lane
(`static`) and one for those with it (`chat`).
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.retrieval.diversity import AGAIN, spread
from nearcode.retrieval.fusion import GRAIN, Candidate, Lanes

WEIGHTS_FILE = Path(__file__).with_name("ranker.json")


@lru_cache(maxsize=1)
def load_weights(path: Path = WEIGHTS_FILE) -> Mapping[str, Mapping[str, float]]:
    """Weights of features by set, as shares of the unit of fusion."""
    told = json.loads(path.read_text("utf-8"))
    return {name: dict(each) for name, each in told["weights"].items()}


def weights_for(lanes: Lanes) -> Mapping[str, float]:
    """The set of weights for what answered."""
    return load_weights()["chat" if lanes.chat else "static"]


def rank_by(
    weights: Mapping[str, float], candidates: Sequence[Candidate], features: Mapping[str, NDArray[np.float64]], unit: float
) -> list[Candidate]:
    """Adds every weighed feature (shape (candidates,)) and sorts, best first."""
    names = [name for name in weights if name in features]
    if candidates and names:
        weighed = np.stack([unit * weights[name] * features[name] for name in names], axis=1)
        parts = np.rint(weighed / GRAIN) * GRAIN  # as Candidate.add does, at once
        for candidate, row in zip(candidates, parts.tolist(), strict=True):
            candidate.take({name: part for name, part in zip(names, row, strict=True) if part})
    return spread(candidates, AGAIN)
