"""What a bus counts. Labels have as many values as there are events, streams and stages."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nearcode.events.observer import BusObserver

HANDLER_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: from telling a builder that a batch is in to embedding a batch with a transformer on a CPU."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What one consumer has before it: messages that wait, and those that were delivered and not yet acknowledged."""

    stream: str
    stage: str
    waiting: int
    in_flight: int


class EventMetrics(BusObserver):
    """Counts events sent and answered, and shows the queues that were looked at last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = Counter("nearcode_events_sent_total", "Events sent, by name.", ["event"], registry=registry)
        self._answered = Histogram(
            "nearcode_event_handler_seconds",
            "Seconds of event handlers, by event and outcome: done, retried (a dependency was away), failed (a bug, tried "
            "again), quarantined.",
            ["event", "outcome"],
            buckets=HANDLER_BUCKETS,
            registry=registry,
        )
        self._messages = Gauge(
            "nearcode_queue_messages",
            "Messages that wait for this service, by stream and stage; in the stream quarantine, those that were given up.",
            ["stream", "stage"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "nearcode_queue_in_flight_messages",
            "Messages that were delivered and are not acknowledged yet, by stream and stage.",
            ["stream", "stage"],
            registry=registry,
        )

    def sent(self, event: str) -> None:
        self._sent.labels(event).inc()

    def answered(self, event: str, outcome: str, seconds: float) -> None:
        self._answered.labels(event, outcome).observe(seconds)

    def show(self, queues: Iterable[Queue]) -> None:
        """Shows these queues and no others; those of one stage are added up."""
        waiting: dict[tuple[str, str], list[Queue]] = {}
        for queue in queues:
            waiting.setdefault((queue.stream, queue.stage), []).append(queue)
        for gauge in (self._messages, self._in_flight):
            gauge.clear()
        for labels, same in waiting.items():
            self._messages.labels(*labels).set(sum(queue.waiting for queue in same))
            self._in_flight.labels(*labels).set(sum(queue.in_flight for queue in same))
