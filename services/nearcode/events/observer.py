"""What a bus tells of its work."""


class BusObserver:
    """Told of every event that was sent or answered. This one does not listen; `EventMetrics` counts."""

    def sent(self, event: str) -> None:
        """An event of that name is stored."""

    def answered(self, event: str, outcome: str, seconds: float) -> None:
        """A handler ended. `outcome`: `done`; `retried`, because a dependency was away; `failed`, a bug, retried as well;
        `quarantined`."""
