"""What waits in the queues of the indexing flow, for whoever scales its workers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages that wait or are worked on. `bulk`: those to be cut or embedded, by repository id; `small` and `fill`: by stage
    (synced, cut, indexed)."""

    bulk: Mapping[str, int] = field(default_factory=dict)
    small: Mapping[str, int] = field(default_factory=dict)
    fill: Mapping[str, int] = field(default_factory=dict)


class Queues(Protocol):
    """The queues of the indexing flow. All raise Unavailable."""

    async def backlog(self) -> Backlog: ...

    async def purge(self, repository: str) -> None:
        """Deletes every message that waits for a repository. Again changes nothing."""
        ...
