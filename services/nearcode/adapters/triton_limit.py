"""How many requests may be under way at a Triton server: found while working, since it depends on the server's instances."""

from dataclasses import dataclass

_QUICK, _SLOW = 3.0, 6.0
"""Times the best cost lately. With one instance, a second request waits for as long as the first one computes, and costs twice
as much: the instance is never idle. A third one only lengthens the queue."""
_FORGET = 1.01
"""Growth of the best cost with each answer, so that a server which became slower for good is not taken for a crowded one."""


@dataclass(slots=True)
class InFlightLimit:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989): one more with each round of quick answers, half of it
    when the server refuses. Slow answers are the sign of its queue (as in TCP Vegas: Brakmo and Peterson, 1995): one less."""

    most: int
    value: float = 2.0
    _best: float = float("inf")

    def __int__(self) -> int:
        return max(1, min(self.most, int(self.value)))

    def answered(self, cost: float) -> None:
        """Notes an answer; `cost` is its seconds per unit of work."""
        self._best = min(self._best * _FORGET, cost)
        if cost <= _QUICK * self._best:
            self.value = min(float(self.most), self.value + 1 / max(1.0, self.value))
        elif cost > _SLOW * self._best:
            self.value = max(1.0, self.value - 1 / self.value)

    def refused(self) -> None:
        """Notes that the server's queue was full."""
        self.value = max(1.0, self.value / 2)
