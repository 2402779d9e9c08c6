"""How fast the model reads and writes here and now, to know what it can do in a given time."""

from dataclasses import dataclass, field

from nearcode.generation.profiles import Profile

# A rate drops at once when another program takes the cores; half of the estimate was still met in nine of ten calls.
_SAFETY = 0.5
# An answer of fewer tokens is seldom a line of code.
_RESERVED_TOKENS = 12
_OVERHEAD_SECONDS = 0.02
_WEIGHT = 0.3
# Shorter readings and writings measure the network rather than the model.
_LEAST_READ, _LEAST_WRITTEN = 24, 4
_SLOWEST = 2.0
# Seconds. No model answers faster; a clock that says so measures nothing.
_SHORTEST = 1e-4
_REVIVAL = 0.1


@dataclass(slots=True)
class Speed:
    """Moving averages in tokens per second; they start at the profile's values. Tokens of a text are estimated from its
    length, in measuring and in planning alike."""

    profile: Profile
    reading: float = field(init=False)
    writing: float = field(init=False)

    def __post_init__(self) -> None:
        self.reading = self.profile.prompt_tokens_per_second
        self.writing = self.profile.generated_tokens_per_second

    def tokens(self, characters: int) -> int:
        """Tokens in that many characters."""
        return int(characters / self.profile.chars_per_token)

    def affordable(self, seconds: float) -> int:
        """Prompt tokens that can be read in time to write a line after it."""
        left = seconds - _OVERHEAD_SECONDS - _RESERVED_TOKENS / self.writing
        return max(0, int(left * self.reading * _SAFETY))

    def until_first(self, tokens: int) -> float:
        """Seconds until the first token, when `tokens` of the prompt are not cached."""
        return _OVERHEAD_SECONDS + tokens / self.reading + 1 / self.writing

    def read(self, tokens: int, seconds: float, finished: bool = True) -> None:
        """Learns from a prompt; one that was not `finished` only tells that the model is not faster."""
        if tokens < _LEAST_READ or seconds < _SHORTEST:
            return
        rate = tokens / seconds
        learned = self.reading + _WEIGHT * (rate - self.reading) if finished else min(self.reading, rate)
        self.reading = max(_SLOWEST, learned)

    def wrote(self, tokens: int, seconds: float) -> None:
        """Learns from `tokens` that came after the first one."""
        if tokens < _LEAST_WRITTEN or seconds < _SHORTEST:
            return
        self.writing = max(_SLOWEST, self.writing + _WEIGHT * (tokens / seconds - self.writing))

    def refused(self) -> None:
        """A call was refused for want of speed: what is not tried is not measured, so the estimate drifts back to its start."""
        self.reading += _REVIVAL * max(0.0, self.profile.prompt_tokens_per_second - self.reading)
        self.writing += _REVIVAL * max(0.0, self.profile.generated_tokens_per_second - self.writing)
