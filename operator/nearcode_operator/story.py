"""The story that `kubectl describe` tells: what changed between two statuses, each thing once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """An event to write for a resource. `type` is Normal or Warning."""

    type: str
    reason: str
    message: str


def events(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    """What to tell of the difference of two statuses of a resource; nothing when they tell the same."""
    raise NotImplementedError
