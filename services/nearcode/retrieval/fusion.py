"""Joins the lanes by score, not by rank: rank fusion drags the better lane down to the weaker one.

Each lane's scores are divided by its best, weighed by how good the lane is for this kind of question, and scaled by how well
the best answers fit at all, so that scores of two questions can be compared and a minimum score means something.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nearcode.domain.index import Hit
from nearcode.domain.retrieval import LaneFind
from nearcode.retrieval.graph_lane import GraphLane
from nearcode.retrieval.neighborhood import Signals

Place = tuple[str, str, str, int, int]

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
DENSE_WITH_CHAT = 0.8
"""Weight of both dense lanes for a question in words, where there is a transformer."""
CHAT_OF_DENSE = 0.6
"""The transformer's part of it; the static model, whose vectors hold the path's words, keeps the rest."""
CHAT_FLOOR = 0.9
"""A transformer's cosines lie close together: what counts is how far a hit lies above this share of the lane's least. These
three were the best of 125 on 362 questions made from docstrings of 14 packages that no benchmark lists: nDCG@10 .880. The
static lanes alone gave .850, the best without a floor .859."""
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
    """A chunk on its way: what each signal gave it so far, the lanes that found it, and how likely it is useful."""

    hit: Hit
    reasons: dict[str, float] = field(default_factory=dict)
    score: float = 0.0
    found_by: dict[str, LaneFind] = field(default_factory=dict)
    probability: float = 0.0
    signals: Signals = field(default_factory=Signals)

    def add(self, reason: str, value: float) -> None:
        """Adds a contribution."""
        value = round(value / GRAIN) * GRAIN
        if value:
            self.reasons[reason] = self.reasons.get(reason, 0.0) + value
            self.score += value


@dataclass(frozen=True, slots=True)
class Fused:
    """Candidates with their lanes' contributions. `unit` is the measure of the boosts: how well the best answers fit."""

    candidates: list[Candidate]
    unit: float


def dense_weight(symbolic: float, words: float = DENSE_FOR_WORDS) -> float:
    """The dense lanes' weight for a question of which the share `symbolic` is code."""
    return words + (DENSE_FOR_SYMBOLS - words) * symbolic


def fuse(lanes: Lanes, symbolic: float, attainable: float) -> Fused:
    """Joins the lanes. `attainable` is the lexical score of a chunk that holds the whole question."""
    dense, lexical = lanes.dense or (), lanes.lexical or ()
    chat = _spread_out(lanes.chat.hits) if lanes.chat else ()
    weight = dense_weight(symbolic, DENSE_WITH_CHAT if chat else DENSE_FOR_WORDS)
    if lanes.dense is None or lanes.lexical is None:
        weight = 0.0 if lanes.dense is None else 1.0
    best_dense, best_lexical, best_chat = _best(dense), _best(lexical), _best(chat)
    fit = weight * min(1.0, max(0.0, best_dense)) + (1.0 - weight) * min(1.0, best_lexical / attainable)
    unit = fit * LANES_SHARE
    of_chat = CHAT_OF_DENSE if chat and weight else 0.0
    found: dict[Place, Candidate] = {}
    for name, hits, best, share in (
        ("dense", dense, best_dense, weight * (1.0 - of_chat)),
        ("lexical", lexical, best_lexical, 1.0 - weight),
        ("definition", lanes.definition or (), 0.0, 0.0),
        ("chat", chat, best_chat, weight * of_chat),
        ("graph", lanes.graph.hits if lanes.graph else (), 0.0, 0.0),
    ):
        for place, hit in enumerate(hits):
            candidate = found.setdefault(_place(hit) if hits is not chat else _counterpart(found, hit), Candidate(hit))
            score = lanes.chat.hits[place].score if lanes.chat and hits is chat else hit.score
            candidate.found_by.setdefault(name, LaneFind(name, place + 1, score))
            if best > 0.0 and hit.score > 0.0:
                candidate.add(name, unit * share * hit.score / best)
    if lanes.chat and of_chat:
        _stand_in(found.values(), lanes.chat, (1.0 - of_chat) / of_chat)
    if graph := lanes.graph:
        for candidate in found.values():
            candidate.signals = graph.signals(candidate.hit.chunk.repository, candidate.hit.chunk.path)
    return Fused(list(found.values()), unit or FALLBACK_UNIT)


def _stand_in(candidates: Iterable[Candidate], chat: ChatLane, part: float) -> None:
    """Where the chat space is not filled yet, the static model speaks for it: else what is filled would win by that alone."""
    for candidate in candidates:
        if "chat" not in candidate.reasons and candidate.hit.chunk.repository not in chat.whole:
            candidate.add("chat (not filled yet)", candidate.reasons.get("dense", 0.0) / part)


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


def _spread_out(hits: Sequence[Hit]) -> list[Hit]:
    """The hits with what their scores are above the floor."""
    floor = CHAT_FLOOR * min((hit.score for hit in hits), default=0.0)
    return [replace(hit, score=hit.score - floor) for hit in hits]


def _best(hits: Sequence[Hit]) -> float:
    return max((hit.score for hit in hits), default=0.0)


def _place(hit: Hit) -> Place:
    """The same lines of the same file version are one candidate, whichever space they were found in."""
    chunk = hit.chunk
    return chunk.repository, chunk.path, chunk.blob, chunk.start_line, chunk.end_line
