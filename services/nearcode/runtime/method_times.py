"""How long a method takes now, and how long it takes when nobody is in its way."""

import math
import statistics
from collections import deque
from dataclasses import dataclass, field

_REMEMBERED = 32
"""Calls in the median: a second's worth under load, so that it follows what the machine can do now."""
_FALL = 0.05
"""Of the way to a call that was quicker: a few lucky ones prove nothing, so this settles at about the quickest tenth."""
_RISE_SECONDS = 60.0
"""Time constant towards slower calls, in seconds and not in calls: an overload has many of them, and must not become what is
taken for normal. Kept low by the limit meanwhile, calls are nearly undisturbed after a moment, and it falls again."""


@dataclass(slots=True)
class MethodTimes:
    """Seconds of the last calls of one method: of unary calls until their end, of streams until their first message."""

    undisturbed: float = 0.0
    _noted: float = 0.0
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def add(self, seconds: float, now: float) -> float:
        """Notes a call that ended now; returns how many times its undisturbed time it took."""
        self._last.append(seconds)
        if not self.undisturbed:
            self.undisturbed, self._noted = seconds, now
        ratio = seconds / self.undisturbed if self.undisturbed > 0 else 1.0
        share = _FALL if ratio < 1.0 else 1 - math.exp((self._noted - now) / _RISE_SECONDS)
        self.undisturbed += share * (seconds - self.undisturbed)
        self._noted = now
        return ratio

    def typical(self) -> float:
        """Their median; 0 of nothing."""
        return statistics.median(self._last) if self._last else 0.0
