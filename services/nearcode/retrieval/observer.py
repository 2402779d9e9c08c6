"""What retrieval tells of its work."""

from nearcode.domain.budget import StageReport


class RetrievalObserver:
    """Told of every stage and every answer. This one does not listen; `RetrievalMetrics` counts."""

    def stage(self, report: StageReport) -> None:
        """A stage of retrieval's own ended."""

    def answered(self, plan: str, dropped: int) -> None:
        """A question is answered. `plan` and `dropped` as in a Context."""
