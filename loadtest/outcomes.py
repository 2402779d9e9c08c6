"""What became of each call, and what it was worth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OK, REFUSED, MISSED, ERROR = "ok", "refused", "missed", "error"
"""How a call ended: answered; RESOURCE_EXHAUSTED; not answered by its deadline; anything else."""

_USELESS_PLANS = frozenset({"", "none", "empty", "in-file"})
"""Plans of answers without any code of the index in them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call. Times in seconds: `at` is when it was meant to be sent, `lag` how much later it was, `seconds` from `at` to the
    end of the answer and `first` to its first message. `stages` are the milliseconds that the answer's report names."""

    kind: str
    at: float
    lag: float
    deadline: float
    seconds: float
    ended: str
    code: str = ""
    first: float = 0.0
    plan: str = ""
    degraded: str = ""
    sources: int = 0
    characters: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether it counts as goodput: whole, by its deadline, with code of the index in it."""
        return self.ended == OK and self.seconds <= self.deadline and self.sources > 0 and self.plan not in _USELESS_PLANS

    @property
    def full(self) -> bool:
        """Whether nothing was left out to make the deadline: the first plan of the ladder."""
        return self.good and not self.degraded

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ending(code: str, seconds: float, deadline: float) -> str:
    """How a call ended by the name of its gRPC status. An answer after the deadline is none."""
    if code == "OK":
        return OK if seconds <= deadline else MISSED
    if code in ("DEADLINE_EXCEEDED", "CANCELLED"):
        return MISSED
    return REFUSED if code == "RESOURCE_EXHAUSTED" else ERROR
