"""How long a method takes now, and how long it takes when nobody is in its way."""

import statistics
from collections import deque
from dataclasses import dataclass, field

_REMEMBERED = 32
"""Calls in the median: a second's worth under load, so that it follows what the machine can do now."""
_FALL, _RISE = 0.3, 0.005
"""How fast the undisturbed time follows quicker and slower calls. Under lasting overload it doubles in some 200 calls; by then
the limit is low, calls are nearly undisturbed, and it falls again at once."""


@dataclass(slots=True)
class MethodTimes:
    """Seconds of the last calls of one method: of unary calls until their end, of streams until their first message."""

    undisturbed: float = 0.0
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def add(self, seconds: float) -> float:
        """Notes a call; returns how many times its undisturbed time it took."""
        self._last.append(seconds)
        if not self.undisturbed:
            self.undisturbed = seconds
        ratio = seconds / self.undisturbed if self.undisturbed > 0 else 1.0
        self.undisturbed += (_FALL if ratio < 1.0 else _RISE) * (seconds - self.undisturbed)
        return ratio

    def typical(self) -> float:
        """Their median; 0 of nothing."""
        return statistics.median(self._last) if self._last else 0.0
