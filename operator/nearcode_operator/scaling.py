"""How many pods: for indexing Jobs that share a budget, and for standing workers."""

from collections.abc import Sequence
from dataclasses import dataclass

from nearcode_operator.model import Limits


@dataclass(frozen=True, slots=True)
class Demand:
    """What one Job could use. `key` names it, `created` says who came first (RFC 3339), `current` is its parallelism now."""

    key: str
    backlog: int
    """Messages that wait or are worked on."""
    per_worker: int
    """Messages that justify one more pod."""
    limits: Limits = Limits()
    priority: int = 0
    current: int = 0
    created: str = ""

    @property
    def wanted(self) -> int:
        """Pods that it would get without a budget: one for each `per_worker` messages, within its limits; 0 without a backlog."""
        raise NotImplementedError


def allocate(demands: Sequence[Demand], budget: int) -> dict[str, int]:
    """Parallelism by key, for every demand.

    Strictly by priority; within one, who runs keeps its minimum, then the oldest get theirs, and what is left is shared by
    max-min fairness. Nobody gets a part of a minimum. Given its own result as `current`, it answers the same.
    """
    raise NotImplementedError


def replicas(
    backlog: int, per_replica: int, minimum: int, maximum: int, current: int, seconds_low: float, window: float = 300.0
) -> int:
    """Replicas of a standing Deployment: up at once, down only when fewer were enough for `window` seconds.

    `seconds_low`: for how long `wanted_replicas` has been below `current`.
    """
    raise NotImplementedError


def wanted_replicas(backlog: int, per_replica: int, minimum: int, maximum: int) -> int:
    """What the backlog asks for now, within the limits."""
    raise NotImplementedError
