"""What the model has read lately: typing on costs only what is new."""

from collections import OrderedDict
from dataclasses import dataclass, field

# The embedded model has two slots, each with the prompt that it read last; large servers are fast enough not to need this.
_KEPT = 2


@dataclass(frozen=True, slots=True)
class RecentPrompt:
    """A prompt of a file and the allowance in tokens that it was cut to."""

    tokens: int
    text: str


@dataclass(slots=True)
class RecentPrompts:
    """The last prompts, one a file, as far as the model's own cache is likely to hold it."""

    _prompts: OrderedDict[str, RecentPrompt] = field(default_factory=OrderedDict)

    def of(self, path: str) -> RecentPrompt | None:
        """The last prompt of a file."""
        return self._prompts.get(path)

    def keep(self, path: str, prompt: RecentPrompt) -> None:
        """Remembers a prompt that the model has read."""
        self._prompts[path] = prompt
        self._prompts.move_to_end(path)
        while len(self._prompts) > _KEPT:
            self._prompts.popitem(last=False)

    def forget(self) -> None:
        """The model was restarted or failed."""
        self._prompts.clear()


def shared_prefix(one: str, other: str) -> int:
    """Characters at the beginning that are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
