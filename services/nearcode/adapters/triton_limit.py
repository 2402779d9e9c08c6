"""How many requests may be under way at a Triton server: found while working, since it depends on the server's instances."""

from dataclasses import dataclass

_QUICK, _SLOW = 3.0, 6.0
"""Times the cost of a request that is alone. With one instance a second request waits for as long as the first one computes,
and costs twice as much: the instance is never idle. A third one only lengthens the queue."""
_RENEWED = 200
"""Answers until the cost of a request that is alone is measured again: it changes with the texts and with the server."""


@dataclass(slots=True)
class InFlightLimit:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989): one more with each round of quick answers, half of it
    when the server refuses. Slow answers are the sign of its queue (as in TCP Vegas: Brakmo and Peterson, 1995): one less."""

    most: int
    value: float = 1.0
    _alone: float = float("inf")
    _answers: int = 0
    _leaving: int = 1
    _resumed: float = 2.0

    def __int__(self) -> int:
        return max(1, min(self.most, int(self.value)))

    def answered(self, cost: float) -> None:
        """Notes an answer; `cost` is its seconds per unit of work."""
        self._answers += 1
        if self._leaving:
            self._leave(cost)
        elif self._answers % _RENEWED == 0:
            self._leaving, self._resumed, self.value = int(self), self.value, 1.0
        else:
            self._judge(cost)

    def refused(self) -> None:
        """Notes that the server's queue was full."""
        self.value = max(1.0, self.value / 2)

    def _judge(self, cost: float) -> None:
        self._alone = min(self._alone, cost)
        if cost <= _QUICK * self._alone:
            self.value = min(float(self.most), self.value + 1 / self.value)
        elif cost > _SLOW * self._alone:
            self.value = max(1.0, self.value - 1 / self.value)

    def _leave(self, cost: float) -> None:
        """When all who were under way are answered, the next one is alone."""
        self._leaving -= 1
        if not self._leaving:
            self._alone, self.value = cost, self._resumed
