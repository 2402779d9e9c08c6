"""What the gateway tells of its work."""

from nearcode.domain.budget import StageReport


class GatewayObserver:
    """Told of every stage and every answer. This one does not listen; `GatewayMetrics` counts."""

    def stage(self, report: StageReport) -> None:
        """A stage of the gateway's own ended."""

    def answered(self, kind: str, plan: str, degraded: str) -> None:
        """An answer is complete. `kind`: completion, chat, search, explain or context; `plan` and `degraded` as in a Report."""
