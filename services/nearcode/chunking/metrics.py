"""What chunking counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from nearcode.chunking.observer import ParserObserver

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Seconds: some 50 ms of parsing a call."""


class ChunkingMetrics(ParserObserver):
    """Calls to parsers, and parsers that had to be started again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._restarts = Counter(
            "nearcode_parser_restarts_total",
            "Parser processes that ended early: crashed, or took too long over a file (late).",
            ["cause"],
            registry=registry,
        )
        for cause in ("crashed", "late"):
            self._restarts.labels(cause)
        self._files = Counter("nearcode_parsed_files_total", "Files that parsers have cut.", registry=registry)
        self._seconds = Histogram(
            "nearcode_parser_call_seconds", "Seconds of one call to a parser.", buckets=BUCKETS, registry=registry
        )

    def parsed(self, files: int, seconds: float) -> None:
        self._files.inc(files)
        self._seconds.observe(seconds)

    def restarted(self, cause: str) -> None:
        self._restarts.labels(cause).inc()
