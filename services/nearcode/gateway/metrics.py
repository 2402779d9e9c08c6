"""What the gateway counts."""

from prometheus_client import CollectorRegistry, Counter

from nearcode.domain.budget import StageReport
from nearcode.domain.errors import Reason
from nearcode.gateway.observer import GatewayObserver
from nearcode.runtime.metrics import StageMetrics

PLANS = frozenset({"hybrid", "lexical", "dense", "in-file", "context-only", "empty"})
"""What an answer may be made of."""
DEGRADED = frozenset({"", "empty", "deadline", "length", "stop", *Reason})
"""Why an answer is less than it could be: nothing, how a model ended, a reason of ours. Other words are a model server's."""


class GatewayMetrics(GatewayObserver):
    """Counts answers by kind, plan and what they lack."""

    def __init__(self, registry: CollectorRegistry, stages: StageMetrics) -> None:
        self.stages = stages
        self._answers = Counter(
            "nearcode_answers_total",
            "Answers by kind (completion, chat, search, explain, context), by plan (hybrid; cheaper ones: lexical, dense, "
            "in-file, context-only, empty) and by what made the plan cheaper (empty: nothing).",
            ["kind", "plan", "degraded"],
            registry=registry,
        )

    def stage(self, report: StageReport) -> None:
        self.stages.observe(report)

    def answered(self, kind: str, plan: str, degraded: str) -> None:
        self._answers.labels(kind, plan if plan in PLANS else "other", str(degraded) if degraded in DEGRADED else "other").inc()
