"""What the operator counts. Labels are bounded: reasons, verbs, kinds and codes, never names of resources."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nearcode_operator.convergence import Outcome

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class OperatorMetrics:
    """The operator's metrics in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._repositories = Gauge(
            "nearcode_operator_repositories", "Repository resources, by reason of Ready.", ["reason"], registry=registry
        )
        self._workers = Gauge(
            "nearcode_operator_workers",
            "Pods of indexing Jobs: wanted if there were no budget, allotted within it, running.",
            ["kind"],
            registry=registry,
        )
        self._budget = Gauge("nearcode_operator_workers_budget", "Pods that Jobs may have at once.", registry=registry)
        self._sweeps = Histogram(
            "nearcode_operator_sweep_seconds", "Seconds that a sweep took.", ["result"], buckets=_SECONDS, registry=registry
        )
        self._last = Gauge(
            "nearcode_operator_last_sweep_timestamp_seconds", "When a sweep last went through.", registry=registry
        )
        self._engine_up = Gauge("nearcode_operator_engine_up", "1 if the engine answered the last sweep.", registry=registry)
        self._api = Counter(
            "nearcode_operator_kubernetes_calls_total",
            "Calls to the Kubernetes API, Kopf's own watch and finalizer apart.",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self._engine = Counter(
            "nearcode_operator_engine_calls_total", "Calls to the engine.", ["method", "result"], registry=registry
        )

    def kubernetes_called(self, verb: str, resource: str, code: str) -> None:
        """One call to the API server."""
        self._api.labels(verb, resource, code).inc()

    def engine_called(self, method: str, result: str) -> None:
        """One call to the engine."""
        self._engine.labels(method, result).inc()

    def swept(self, outcome: Outcome | None, seconds: float) -> None:
        """What a sweep found; None: it failed."""
        self._sweeps.labels("ok" if outcome else "failed").observe(seconds)
        if outcome is None:
            return
        self._last.set(time.time())
        self._engine_up.set(0 if outcome.engine_away else 1)
        self._repositories.clear()
        for reason, number in outcome.reasons.items():
            self._repositories.labels(reason).set(number)
        for kind in ("wanted", "allotted", "running"):
            self._workers.labels(kind).set(getattr(outcome.fleet, kind))

    def budget(self, pods: int) -> None:
        """What Jobs may have."""
        self._budget.set(pods)
