"""Wishes and finished batches, to the builder."""

from nearcode.api.events.v1 import events_pb2
from nearcode.events.bus import Bus
from nearcode.ingestion.service import Ingestion


class IngestionWorker:
    """Reacts to RevisionWanted and BatchIndexed."""

    def __init__(self, bus: Bus, ingestion: Ingestion) -> None:
        self._bus, self._ingestion, self._builder = bus, ingestion, ingestion.builder

    async def start(self) -> None:
        await self._bus.react(events_pb2.RevisionWanted, self._wanted, self._not_built)
        await self._bus.react(events_pb2.BatchIndexed, self._builder.take)
        await self._ingestion.resume()

    async def _wanted(self, event: events_pb2.RevisionWanted) -> None:
        await self._builder.start(event, self._ingestion.source)

    async def _not_built(self, event: events_pb2.RevisionWanted, error: str) -> None:
        await self._ingestion.want_failed(event.repository, event.generation, error)
