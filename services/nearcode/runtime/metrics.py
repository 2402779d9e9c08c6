"""What a gRPC server counts."""

from prometheus_client import CollectorRegistry, Histogram

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds, as OpenTelemetry's RPC conventions advise."""


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
