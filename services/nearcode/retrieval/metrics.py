"""What retrieval counts."""

from prometheus_client import CollectorRegistry, Counter

from nearcode.domain.budget import StageReport
from nearcode.retrieval.observer import RetrievalObserver
from nearcode.runtime.metrics import StageMetrics


class RetrievalMetrics(RetrievalObserver):
    """Counts questions by plan, and what the last check kept from being shown."""

    def __init__(self, registry: CollectorRegistry, stages: StageMetrics) -> None:
        self.stages = stages
        self._retrievals = Counter(
            "nearcode_retrievals_total",
            "Questions answered, by plan: hybrid, lexical (no vector in time), dense, none.",
            ["plan"],
            registry=registry,
        )
        self._dropped = Counter(
            "nearcode_recheck_dropped_total",
            "Hits that the index let through and the re-check did not: not readable, or of no served revision. A few while "
            "revisions switch; any others mean that a filter is broken.",
            registry=registry,
        )

    def stage(self, report: StageReport) -> None:
        self.stages.observe(report)

    def answered(self, plan: str, dropped: int) -> None:
        self._retrievals.labels(plan).inc()
        self._dropped.inc(dropped)
