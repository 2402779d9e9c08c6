"""Two evaluations of the same questions: paired differences, and whether the second one is worse. The regression gate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nearcode.domain.errors import InvalidRequest
from nearcode.evaluation.asking import Answer, main_metric
from nearcode.evaluation.interval import Estimate, stratified
from nearcode.evaluation.question import KINDS, Kind
from nearcode.evaluation.results import ALL, Evaluation

Key = tuple[str, str]
"""Repository and space."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one kind of question (`all`: of every kind) in one space: after minus before, with the means."""

    space: str
    kind: str
    metric: str
    before: float
    after: float
    change: Estimate

    def values(self) -> dict[str, object]:
        """As plain values, for JSON."""
        change = self.change
        return {
            "space": self.space,
            "kind": self.kind,
            "metric": self.metric,
            "questions": change.count,
            "before": round(self.before, 4),
            "after": round(self.after, 4),
            "difference": round(change.mean, 4),
            "interval": [round(change.low, 4), round(change.high, 4)],
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """The same question, answered twice."""

    repository: str
    space: str
    kind: Kind
    before: float
    after: float


def compare(before: Evaluation, after: Evaluation) -> list[Difference]:
    """Differences of the questions that both were asked, in spaces that both have. Raises InvalidRequest if there are none."""
    pairs = _pairs(before, after)
    if not pairs:
        message = "the two results share no question: ask the same ones with --write-questions FILE, then --questions FILE"
        raise InvalidRequest(message, field="file")
    found: list[Difference] = []
    for space in dict.fromkeys(pair.space for pair in pairs):
        here = [pair for pair in pairs if pair.space == space]
        found += [_difference(space, kind, [pair for pair in here if pair.kind is kind]) for kind in KINDS]
        found.append(_difference(space, None, here))
    return [one for one in found if one.change.count]


def worse(differences: Iterable[Difference], fail_below: float) -> list[Difference]:
    """Those below the limit: of all kinds together as they are; of one kind when chance does not explain it (its interval ends
    below 0), for four kinds are four chances."""
    return [one for one in differences if one.change.mean < fail_below and (one.kind == ALL or one.change.high < 0)]


def _pairs(before: Evaluation, after: Evaluation) -> list[Pair]:
    earlier = {(one.repository, one.space, answer.question): answer for one in before.evaluated for answer in one.answers}
    return [
        Pair(one.repository, one.space, answer.kind, same.score, answer.score)
        for one in after.evaluated
        for answer in one.answers
        if (same := _same(earlier.get((one.repository, one.space, answer.question)), answer))
    ]


def _same(earlier: Answer | None, answer: Answer) -> Answer | None:
    return earlier if earlier and earlier.kind is answer.kind else None


def _difference(space: str, kind: Kind | None, pairs: Sequence[Pair]) -> Difference:
    """Repositories are equally heavy; questions are drawn in each."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.repository, []).append(pair)
    change = stratified([[pair.after - pair.before for pair in group] for group in groups.values()])
    before, after = (
        sum(sum(getattr(pair, side) for pair in group) / len(group) for group in groups.values()) / max(1, len(groups))
        for side in ("before", "after")
    )
    return Difference(space, kind or ALL, main_metric(kind) if kind else "score", before, after, change)
