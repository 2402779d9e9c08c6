"""What generation tells of its work."""

from nearcode.domain.completion import Outcome


class GenerationObserver:
    """Told of every text. This one does not listen; `GenerationMetrics` counts."""

    def first_piece(self, seconds: float) -> None:
        """The model's first piece came so long after it was asked."""

    def answered(self, kind: str, outcome: Outcome) -> None:
        """A text is complete. `kind`: completion or chat."""
