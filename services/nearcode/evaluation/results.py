"""What an evaluation found: an answer for each question, and the means that people look at. Also as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nearcode.domain.errors import InvalidRequest
from nearcode.evaluation.asking import Answer
from nearcode.evaluation.interval import Estimate, stratified
from nearcode.evaluation.question import KINDS, Kind

ALL = "all"
"""Stands for every repository together, each as heavy as the others."""
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One repository under one index space. `unfit` questions of a file did not fit the code any more."""

    repository: str
    space: str
    files: int
    chunks: int
    seconds: float
    answers: tuple[Answer, ...]
    unfit: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A whole run: what was evaluated, by which release, under which settings that differ from the defaults."""

    release: str
    settings: Mapping[str, str]
    evaluated: tuple[Evaluated, ...]

    def dump(self) -> str:
        """As JSON."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def load(cls, text: str, name: str) -> "Evaluation":
        """What `dump` gave; `name` is said when it is something else. Raises InvalidRequest."""
        try:
            values = json.loads(text)
            if values["format"] != _FORMAT:
                raise ValueError(f"format {values['format']}")
            return cls(values["release"], values["settings"], tuple(map(_evaluated, values["evaluated"])))
        except (ValueError, KeyError, TypeError) as error:
            message = f"{name} is no result of an evaluation ({error}); make one with `nearcode eval PATH --out FILE`"
            raise InvalidRequest(message, field="file") from error


def _evaluated(values: dict[str, Any]) -> Evaluated:
    answers = tuple(Answer(one["question"], Kind(one["kind"]), dict(one["metrics"])) for one in values.pop("answers"))
    return Evaluated(**values, answers=answers)


@dataclass(frozen=True, slots=True)
class Row:
    """Means of one kind of question, of a repository and a space."""

    repository: str
    space: str
    kind: Kind
    questions: int
    metrics: Mapping[str, Estimate] = field(default_factory=dict)

    def values(self) -> dict[str, object]:
        """As plain values, for JSON."""
        means = {name: round(one.mean, 4) for name, one in self.metrics.items()}
        intervals = {name: [round(one.low, 4), round(one.high, 4)] for name, one in self.metrics.items()}
        head = {"repository": self.repository, "space": self.space, "kind": self.kind.value, "questions": self.questions}
        return {**head, **means, "intervals": intervals}


def rows(evaluated: Sequence[Evaluated]) -> list[Row]:
    """A row for each repository, space and kind; with several repositories, also for all together."""
    found = [_row(one.repository, one.space, kind, [one]) for one in evaluated for kind in KINDS]
    spaces = list(dict.fromkeys(one.space for one in evaluated))
    if len({one.repository for one in evaluated}) > 1:
        found += [
            _row(ALL, space, kind, [one for one in evaluated if one.space == space]) for space in spaces for kind in KINDS
        ]
    return [row for row in found if row.questions]


def _row(repository: str, space: str, kind: Kind, evaluated: Iterable[Evaluated]) -> Row:
    groups = [[answer for answer in one.answers if answer.kind is kind] for one in evaluated]
    names = dict.fromkeys(name for group in groups for answer in group for name in answer.metrics)
    metrics = {
        name: stratified([[answer.metrics[name] for answer in group if name in answer.metrics] for group in groups])
        for name in names
    }
    return Row(repository, space, kind, sum(map(len, groups)), metrics)
