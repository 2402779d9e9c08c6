"""How many calls may work at once: found while running, because it depends on the machine, the index and the model."""

import statistics
from dataclasses import dataclass, field

LEAST, START, MOST = 2, 8, 512
"""Calls. Two keep the event loop busy while the other waits for the index; the most is what a server takes at all."""
WINDOW_SECONDS = 0.1
"""Between two changes: several calls end in it, and a burst is over before it does harm."""
LAG_SECONDS = 0.015
"""The lag of the event loop that is taken for a queue: a refusal must be out within 20 ms, and the longest step of one
ranking takes about 5 ms. WeChat's DAGOR takes 20 ms of queueing for overload (Zhou et al., SoCC 2018)."""
LATE_SHARE = 0.05
"""Share of calls that miss their deadline from which on there are too many at work, wherever the queue is."""
SLOWED = 2.5
"""Median of how many times their undisturbed time calls take, from which on they are in each other's way: at the index, at a
service that is called, for the cores. Netflix' Gradient2 tolerates 1.5 of the mean; this is of the quickest tenth."""
_DOWN = 0.8


@dataclass(slots=True)
class ConcurrencyLimit:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989). Congestion is a queue, wherever it is: the event loop
    lags, calls take much longer than undisturbed ones (a gradient, as in Netflix' concurrency-limits and Envoy's adaptive
    concurrency), or they miss their deadlines. The limit rises only while it is used, so that quiet hours do not raise it
    beyond all measure."""

    value: float = START
    _until: float = 0.0
    _lags: list[float] = field(default_factory=list)
    _ratios: list[float] = field(default_factory=list)
    _ended: int = 0
    _late: int = 0
    _peak: int = 0

    def __int__(self) -> int:
        return int(self.value)

    @property
    def lag(self) -> float:
        """Mean lag of the event loop in this window, seconds."""
        return sum(self._lags) / len(self._lags) if self._lags else 0.0

    def saw(self, running: int) -> None:
        """Notes how many calls are at work."""
        self._peak = max(self._peak, running)

    def took(self, ratio: float) -> None:
        """Notes how many times its undisturbed time a call took."""
        self._ratios.append(ratio)

    def ended(self, late: bool) -> None:
        """Notes a call that ended; `late` when it missed a deadline that it could have kept."""
        self._ended += 1
        self._late += late

    def tick(self, now: float, lag: float) -> None:
        """Notes the event loop's lag and, once a window, changes the limit."""
        self._lags.append(lag)
        if now < self._until:
            return
        late = self._late > max(1.0, LATE_SHARE * self._ended)
        slowed = bool(self._ratios) and statistics.median(self._ratios) > SLOWED
        if late or slowed or self.lag > LAG_SECONDS:
            self.value = max(float(LEAST), self.value * _DOWN)
        elif self._peak >= int(self.value):
            self.value = min(float(MOST), self.value + 1.0)
        self._until, self._lags, self._ratios = now + WINDOW_SECONDS, [], []
        self._ended = self._late = self._peak = 0
