"""Wishes and finished batches, to the builder."""

from nearcode.api.events.v1 import events_pb2
from nearcode.events.bus import ANY, Bus
from nearcode.ingestion.service import Ingestion


class IngestionWorker:
    """Reacts to RevisionWanted and BatchIndexed, and to what fills collections behind."""

    def __init__(self, bus: Bus, ingestion: Ingestion) -> None:
        self._bus, self._ingestion, self._builder = bus, ingestion, ingestion.builder

    async def start(self) -> None:
        await self._bus.react(events_pb2.RevisionWanted, self._wanted, self._not_built)
        await self._bus.react(events_pb2.BatchIndexed, self._builder.take)
        filler = self._ingestion.filler
        await self._bus.react(events_pb2.FillWanted, filler.build, self._not_filled, concurrency=1)
        await self._bus.react(events_pb2.BatchIndexed, self.filled, concurrency=1, fill=ANY)
        await self._ingestion.resume()

    async def _wanted(self, event: events_pb2.RevisionWanted) -> None:
        await self._builder.start(event, self._ingestion.source)

    async def filled(self, event: events_pb2.BatchIndexed) -> None:
        """A batch of a collection that is filled behind is stored, or cannot be."""
        build = event.build
        if event.error:
            await self._ingestion.want_failed(build.repository, build.generation, event.error, build.collection)
        else:
            await self._ingestion.filler.take(event)

    async def _not_filled(self, event: events_pb2.FillWanted, error: str) -> None:
        await self._ingestion.want_failed(event.repository, event.generation, error, event.collection)

    async def _not_built(self, event: events_pb2.RevisionWanted, error: str) -> None:
        await self._ingestion.want_failed(event.repository, event.generation, error)
