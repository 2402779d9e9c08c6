"""Joins the lanes by score, not by rank: rank fusion drags the better lane down to the weaker one.

Each lane's scores are divided by its best, weighed by how good the lane is for this kind of question, and scaled by how well
the best answers fit at all, so that scores of two questions can be compared and a minimum score means something.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.index import Hit
from nearcode.domain.retrieval import LaneFind
from nearcode.retrieval.graph_lane import GraphLane
from nearcode.retrieval.neighborhood import Signals

Place = tuple[str, str, str, int, int]

NO_SIGNALS = Signals()
NOTHING_WEIGHED = np.empty(0)

DENSE_FOR_WORDS = 0.65
"""Weight of the dense lane for a question in words. A transformer earns .8; the static table is weaker where question and code
share no word: .65 was the best of .5, .65, .8 and .9 on the development half of the retrieval benchmark."""
DENSE_FOR_SYMBOLS = 0.2
"""Its weight for a name or an error message: there the exact word is what counts."""
LANES_SHARE = 0.5
"""Score of a chunk that is the best of every lane and fits perfectly: as much is left for what ranking adds, so that scores
stay about within 0 and 1."""
FALLBACK_UNIT = 0.125
"""The unit when only the definition lane found anything."""
CHAT_FLOOR = 0.9
"""A transformer's cosines lie close together: what counts is how far a hit lies above this share of the lane's least. The best
of five on 362 questions made from docstrings of 14 packages that no benchmark lists."""
GRAIN = 2.0**-20
"""Contributions are multiples of this, so that they sum exactly to the score, in whatever order."""


@dataclass(frozen=True, slots=True)
class ChatLane:
    """What the chat space's model found, best first, and the repositories of which that space holds all that is served."""

    hits: Sequence[Hit]
    whole: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lanes:
    """What each lane found, best first; None for a lane that did not answer."""

    dense: Sequence[Hit] | None = None
    lexical: Sequence[Hit] | None = None
    definition: Sequence[Hit] | None = None
    chat: ChatLane | None = None
    graph: GraphLane | None = None

    @property
    def plan(self) -> str:
        """Which plan this is: hybrid, dense, lexical or none."""
        if self.dense is None:
            return "none" if self.lexical is None else "lexical"
        return "dense" if self.lexical is None else "hybrid"


@dataclass(slots=True)
class Candidate:
    """A chunk on its way: what each signal gave it so far, the lanes that found it, and how likely it is useful.

    `weighed` are contributions that came at once, by name and number: most candidates lose, and nobody reads why."""

    hit: Hit
    added: dict[str, float] = field(default_factory=dict)
    weighed: tuple[Sequence[str], NDArray[np.float64]] = ((), NOTHING_WEIGHED)
    score: float = 0.0
    found_by: dict[str, LaneFind] = field(default_factory=dict)
    probability: float = 0.0
    signals: Signals = NO_SIGNALS

    def add(self, reason: str, value: float) -> None:
        """Adds a contribution."""
        if not value:
            return
        value = round(value / GRAIN) * GRAIN
        if value:
            self.added[reason] = self.added.get(reason, 0.0) + value
            self.score += value

    @property
    def reasons(self) -> dict[str, float]:
        """All contributions that are not 0, by reason; they sum exactly to the score."""
        names, values = self.weighed
        return {name: value for name, value in zip(names, values.tolist(), strict=True) if value} | self.added


@dataclass(frozen=True, slots=True)
class Fused:
    """Candidates with their lanes' contributions. `unit` is the measure of the boosts: how well the best answers fit."""

    candidates: list[Candidate]
    unit: float


@dataclass(frozen=True, slots=True)
class Fit:
    """How well the best answers fit: the unit of all contributions, and by lane its weight and its best score."""

    unit: float
    weights: Mapping[str, float]
    best: Mapping[str, float]


def dense_weight(symbolic: float) -> float:
    """The dense lane's weight for a question of which the share `symbolic` is code."""
    return DENSE_FOR_WORDS + (DENSE_FOR_SYMBOLS - DENSE_FOR_WORDS) * symbolic


def gather(lanes: Lanes) -> list[Candidate]:
    """Every chunk that a lane found, with the lanes that found it."""
    found: dict[Place, Candidate] = {}
    for name, hits in (
        ("dense", lanes.dense or ()),
        ("lexical", lanes.lexical or ()),
        ("definition", lanes.definition or ()),
        ("chat", lanes.chat.hits if lanes.chat else ()),
        ("graph", lanes.graph.hits if lanes.graph else ()),
    ):
        for place, hit in enumerate(hits):
            key = _counterpart(found, hit) if name == "chat" else _place(hit)
            candidate = found.get(key)
            if candidate is None:
                candidate = found[key] = Candidate(hit)
            candidate.found_by.setdefault(name, LaneFind(name, place + 1, hit.score))
    if graph := lanes.graph:
        signals = {file: graph.signals(*file) for file in {place[:2] for place in found}}
        for candidate in found.values():
            candidate.signals = signals[candidate.hit.chunk.repository, candidate.hit.chunk.path]
    return list(found.values())


def fitting(lanes: Lanes, symbolic: float, attainable: float) -> Fit:
    """How well the best answers fit. `attainable` is the lexical score of a chunk that holds the whole question."""
    weight = dense_weight(symbolic)
    if lanes.dense is None or lanes.lexical is None:
        weight = 0.0 if lanes.dense is None else 1.0
    dense, lexical = _best(lanes.dense or ()), _best(lanes.lexical or ())
    fit = weight * min(1.0, max(0.0, dense)) + (1.0 - weight) * min(1.0, lexical / attainable)
    return Fit(
        fit * LANES_SHARE or FALLBACK_UNIT, {"dense": weight, "lexical": 1.0 - weight}, {"dense": dense, "lexical": lexical}
    )


def fuse(lanes: Lanes, symbolic: float, attainable: float) -> Fused:
    """Candidates with what their lanes give them."""
    fit, candidates = fitting(lanes, symbolic, attainable), gather(lanes)
    for candidate in candidates:
        for lane, weight in fit.weights.items():
            find = candidate.found_by.get(lane)
            if find and find.score > 0.0:
                candidate.add(lane, fit.unit * weight * find.score / fit.best[lane])
    return Fused(candidates, fit.unit)


def _counterpart(found: Iterable[Place], hit: Hit) -> Place:
    """The place of which more than half is the same lines, for a space may be cut into other chunks; else the hit's own."""
    own = _place(hit)
    best, most = own, 0.5
    for place in found:
        if place[:3] == own[:3]:
            shared = min(place[4], own[4]) - max(place[3], own[3]) + 1
            union = max(place[4], own[4]) - min(place[3], own[3]) + 1
            if shared / union > most:
                best, most = place, shared / union
    return best


def _best(hits: Sequence[Hit]) -> float:
    return max((hit.score for hit in hits), default=0.0)


def _place(hit: Hit) -> Place:
    """The same lines of the same file version are one candidate, whichever space they were found in."""
    chunk = hit.chunk
    return chunk.repository, chunk.path, chunk.blob, chunk.start_line, chunk.end_line
