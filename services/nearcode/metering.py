"""The counters of a process: those of the services that it runs, each built once from its registry."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Info, ProcessCollector, disable_created_metrics

from nearcode.chunking.metrics import ChunkingMetrics
from nearcode.embedding.metrics import EmbeddingMetrics
from nearcode.events.metrics import EventMetrics
from nearcode.gateway.metrics import GatewayMetrics
from nearcode.generation.metrics import GenerationMetrics
from nearcode.ingestion.metrics import IngestionMetrics
from nearcode.observers import Observers
from nearcode.retrieval.metrics import RetrievalMetrics
from nearcode.runtime.metrics import RpcMetrics, StageMetrics


@dataclass(frozen=True, slots=True)
class Metering:
    """`observers` are for the app; the others are for whoever serves it."""

    observers: Observers
    rpc: RpcMetrics
    events: EventMetrics
    ingestion: IngestionMetrics | None


def meter(registry: CollectorRegistry, services: Collection[str], repository_labels: int) -> Metering:
    """Registers the metrics of these services, and no others, so that what is not there shows no zeros."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all series, for times that nobody asks for
    Info("nearcode_build", "Version of this process.", registry=registry).info({"version": version("nearcode")})
    ProcessCollector(registry=registry)
    events = EventMetrics(registry)
    observers = Observers(bus=events)
    if {"gateway", "retrieval"} & set(services):
        stages = StageMetrics(registry)
        if "gateway" in services:
            observers = replace(observers, gateway=GatewayMetrics(registry, stages))
        if "retrieval" in services:
            observers = replace(observers, retrieval=RetrievalMetrics(registry, stages))
    if "generation" in services:
        observers = replace(observers, generation=GenerationMetrics(registry))
    if "chunking" in services:
        observers = replace(observers, parsers=ChunkingMetrics(registry))
    if "embedding" in services:
        embedding = EmbeddingMetrics(registry)
        observers = replace(observers, batch=embedding.batch, lookup=embedding.looked_up)
    ingestion = IngestionMetrics(registry, repository_labels) if "ingestion" in services else None
    return Metering(observers, RpcMetrics(registry), events, ingestion)
