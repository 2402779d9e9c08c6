"""What a process counts whatever its services are: calls, admission, stages of budgets."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nearcode.domain.budget import StageReport
from nearcode.runtime.admission import Admission

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds, as OpenTelemetry's RPC conventions advise."""
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: from ranking in half a millisecond to a chat's answer."""


class RpcMetrics:
    """Durations by method and status code: labels with as many values as our contracts have, whatever clients send."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Histogram(
            "rpc_server_call_duration_seconds",
            "Seconds from a call's arrival to its end.",
            ["rpc_method", "rpc_response_status_code"],
            buckets=BUCKETS,
            registry=registry,
        )

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Counts a call that ended; pass it to RpcServer."""
        self._durations.labels(method, code).observe(seconds)


class StageMetrics:
    """What the stages of a budget spend and leave. Labels: the stages' names, which are words of the code."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._spent = Histogram(
            "nearcode_stage_spent_seconds",
            "Seconds that a stage of an answer took.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._carried = Histogram(
            "nearcode_stage_carried_seconds",
            "Seconds of its share that a stage did not need and left to the later ones; 0 when it used them up.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._skipped = Counter(
            "nearcode_stage_skipped_total",
            "Stages that were given up, so that a cheaper plan answered.",
            ["stage"],
            registry=registry,
        )

    def observe(self, report: StageReport) -> None:
        """Counts a stage that ended."""
        self._spent.labels(report.name).observe(report.spent_ms / 1e3)
        self._carried.labels(report.name).observe(report.carried_ms / 1e3)
        self._skipped.labels(report.name).inc(report.skipped)


class AdmissionMetrics(Collector):
    """What admission control decides, read when somebody asks: register it with a registry."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        """Counters by class and reason, and gauges of now."""
        admission = self._admission
        admitted = CounterMetricFamily("nearcode_admission_admitted", "Calls let in.", labels=["criticality"])
        for criticality, count in admission.counts.admitted.items():
            admitted.add_metric([criticality], count)
        yield admitted
        refused = CounterMetricFamily("nearcode_admission_refused", "Calls refused.", labels=["reason", "criticality"])
        for labels, count in admission.counts.refused.items():
            refused.add_metric(list(labels), count)
        yield refused
        yield GaugeMetricFamily("nearcode_admission_limit", "Calls that may work at once now.", admission.limit.value)
        yield GaugeMetricFamily("nearcode_admission_working", "Calls at work, streams until they begin.", admission.working)
        yield GaugeMetricFamily("nearcode_admission_in_flight", "Calls let in that have not ended.", admission.in_flight)
        yield GaugeMetricFamily("nearcode_admission_waiting", "Calls that wait for their turn.", admission.waiting)
