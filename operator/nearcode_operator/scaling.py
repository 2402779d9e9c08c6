"""How many pods: for indexing Jobs that share a budget, and for standing workers."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil

from nearcode_operator.model import Limits


@dataclass(frozen=True, slots=True)
class Demand:
    """What one Job could use. `key` names it, `created` says who came first (RFC 3339), `current` is its parallelism now."""

    key: str
    backlog: int
    """Messages that wait or are worked on."""
    per_worker: int
    """Messages that justify one more pod."""
    limits: Limits = field(default_factory=Limits)
    priority: int = 0
    current: int = 0
    created: str = ""

    @property
    def least(self) -> int:
        """What it gets if it gets anything."""
        return max(1, self.limits.minimum)

    @property
    def wanted(self) -> int:
        """What it would get without a budget: a pod for each `per_worker` messages, within its limits; 0 without a backlog."""
        return wanted_replicas(self.backlog, self.per_worker, self.least, self.limits.maximum) if self.backlog > 0 else 0

    @property
    def turn(self) -> tuple[bool, str, str]:
        """Who runs goes on, then the oldest; nobody is taken off for a newcomer of the same priority."""
        return not self.current, self.created, self.key


def allocate(demands: Sequence[Demand], budget: int) -> dict[str, int]:
    """Parallelism by key, for every demand.

    Strictly by priority; within one, who runs keeps its minimum, then the oldest get theirs, and what is left is shared by
    max-min fairness. Nobody gets a part of a minimum. Given its own result as `current`, it answers the same.
    """
    shares = {one.key: 0 for one in demands}
    left = budget
    for _, level in groupby(sorted(demands, key=lambda one: -one.priority), lambda one: one.priority):
        given = _share([one for one in level if one.wanted], left)
        shares |= given
        left -= sum(given.values())
    return shares


def _share(demands: Iterable[Demand], budget: int) -> dict[str, int]:
    """Among equals: minimums in turn, then one pod at a time to who has fewest."""
    shares: dict[str, int] = {}
    admitted = []
    for one in sorted(demands, key=lambda one: one.turn):
        if one.least <= budget:
            shares[one.key] = one.least
            budget -= one.least
            admitted.append(one)
    rising = [(*_rank(one, shares[one.key]), one) for one in admitted if one.wanted > one.least]
    heapq.heapify(rising)
    while rising and budget > 0:
        one = heapq.heappop(rising)[-1]
        shares[one.key] += 1
        budget -= 1
        if shares[one.key] < one.wanted:
            heapq.heappush(rising, (*_rank(one, shares[one.key]), one))
    return shares


def _rank(one: Demand, share: int) -> tuple[int, bool, str, str]:
    """The lowest share rises first; among equal ones, who already has the next pod, so that none is moved for nothing."""
    return share, one.current <= share, one.created, one.key


def wanted_replicas(backlog: int, per_replica: int, minimum: int, maximum: int) -> int:
    """What the backlog asks for now, within the limits."""
    return max(minimum, min(maximum, ceil(backlog / per_replica)))


def replicas(
    backlog: int, per_replica: int, minimum: int, maximum: int, current: int, seconds_low: float, window: float = 300.0
) -> int:
    """Replicas of a standing Deployment: up at once, down only when fewer were enough for `window` seconds.

    `seconds_low`: for how long `wanted_replicas` has been below `current`.
    """
    wanted = wanted_replicas(backlog, per_replica, minimum, maximum)
    if wanted < current and seconds_low < window:
        return max(minimum, min(maximum, current))
    return wanted
