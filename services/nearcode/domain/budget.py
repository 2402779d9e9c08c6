"""A call's deadline, split over its stages.

Each stage is allotted its share of what is left, weighed against the shares of the stages still to come; what it does not
spend carries over to them by itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """Milliseconds of one stage; `carried_ms` is what it left to the later ones, `start_ms` counts from the call's start."""

    name: str
    allotted_ms: float
    spent_ms: float
    carried_ms: float
    start_ms: float
    skipped: bool = False


@dataclass(slots=True)
class Share:
    """What a running stage may spend. `seconds()` is what is left of it now."""

    name: str
    allotted: float
    ends: float
    clock: Clock
    skipped: bool = False

    def seconds(self) -> float:
        return max(0.0, self.ends - self.clock())


@dataclass(slots=True)
class Budget:
    """Splits `seconds` over stages by weight. Not for use by several tasks at once."""

    seconds: float
    weights: Mapping[str, float]
    clock: Clock = time.monotonic
    reports: list[StageReport] = field(default_factory=list)
    started: float = field(init=False)
    _left: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._left = dict(self.weights)

    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.started + self.seconds - self.clock())

    def share(self, name: str) -> float:
        """Seconds that the stage would be allotted if it began now."""
        total = sum(self._left.values())
        return self.remaining() * (self._left.get(name, 0.0) / total if total else 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[Share]:
        """Runs a stage: allots its share, measures what it spends and records the report."""
        began = self.clock()
        allotted = self.share(name)
        share = Share(name, allotted, began + allotted, self.clock)
        self._left.pop(name, None)
        try:
            yield share
        finally:
            spent = self.clock() - began
            self.reports.append(
                StageReport(
                    name,
                    allotted_ms=allotted * 1e3,
                    spent_ms=spent * 1e3,
                    carried_ms=max(0.0, allotted - spent) * 1e3,
                    start_ms=(began - self.started) * 1e3,
                    skipped=share.skipped,
                )
            )

    def adopt(self, reports: list[StageReport], offset_ms: float) -> None:
        """Takes over the stages of a service that was called, shifted to this call's clock."""
        self.reports.extend(replace(report, start_ms=report.start_ms + offset_ms) for report in reports)
