"""What the parsers' pool tells of its work."""


class ParserObserver:
    """Told of every call to a parser. This one does not listen; `ChunkingMetrics` counts."""

    def parsed(self, files: int, seconds: float) -> None:
        """A parser answered."""

    def restarted(self, cause: str) -> None:
        """A parser is to be started again. `cause`: crashed or late."""
