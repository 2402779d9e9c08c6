"""The knee: the highest offered rate that is still answered. Ramp up until it is not, then halve the gap."""

from dataclasses import dataclass, field

GOOD_SHARE = 0.95
"""Goodput below this share of the offered rate is past the knee."""
GROWTH = 2.0
PRECISION = 1.15
"""The gap between a good and a bad rate at which the search ends: noise is about as large."""
LOWEST, HIGHEST = 4.0, 20_000.0
"""Calls a second. An engine that fails below is not overloaded: something else is wrong, or the machine is busy."""


@dataclass(slots=True)
class KneeSearch:
    """Ask `next_rate`, measure, `tell`; until `next_rate` is None. A rate fails when it fails twice: one hiccup is none.

    `knee` is the highest rate that passed below all that failed, 0 when none did. Takes about eight runs.
    """

    start: float
    probes: list[tuple[float, float]] = field(default_factory=list)
    _good: float = 0.0
    _bad: float = 0.0
    _again: float = 0.0

    @property
    def knee(self) -> float:
        return self._good

    @property
    def busiest(self) -> float:
        """The rate with the most goodput, for want of a knee."""
        return max(self.probes, key=lambda probe: probe[0] * probe[1], default=(0.0, 0.0))[0]

    def next_rate(self) -> float | None:
        """The rate to try now; None when the knee is known."""
        if self._again:
            return self._again
        if not self._bad:
            rate = self._good * GROWTH if self._good else self.start
            return rate if rate <= HIGHEST else None
        if not self._good:
            rate = self._bad / GROWTH
            return rate if rate >= LOWEST else None
        return None if self._bad / self._good <= PRECISION else (self._good * self._bad) ** 0.5

    def tell(self, rate: float, share: float) -> None:
        """Takes the share of the offered calls that were good at `rate`."""
        self.probes.append((rate, share))
        if share >= GOOD_SHARE:
            self._good, self._again = rate, 0.0
        elif self._again:
            self._bad, self._again = rate, 0.0
        else:
            self._again = rate
