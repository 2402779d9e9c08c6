"""Batches of chunks, to the use case, to what became of their files."""

from collections.abc import Awaitable, Callable

from nearcode.api.events.v1.events_pb2 import BatchIndexed, ChunksCut
from nearcode.embedding.service import Embedding, give_up
from nearcode.events.bus import Bus, queue_of
from nearcode.telemetry.propagation import current_traceparent


class EmbeddingWorker:
    """Reacts to ChunksCut with BatchIndexed. A batch that cannot be indexed is reported as failed: its revision must end.

    `embedding` gives the use cases of a collection by its key. `fill` names the collection that this worker fills behind;
    without it, it works on what somebody waits for.
    """

    def __init__(
        self, bus: Bus, embedding: Callable[[str], Awaitable[Embedding]], concurrency: int = 2, fill: str = ""
    ) -> None:
        self._bus, self._embedding, self._concurrency, self._fill = bus, embedding, concurrency, fill

    async def start(self) -> None:
        await self._bus.react(ChunksCut, self._index, self._not_indexed, self._concurrency, fill=self._fill)

    async def _index(self, event: ChunksCut) -> None:
        embedding = await self._embedding(event.build.collection)
        batch = await embedding.index_batch(event, current_traceparent())
        if batch is not None:
            await self._publish(batch, "indexed")

    async def _not_indexed(self, event: ChunksCut, error: str) -> None:
        reason = error if event.build.fill else f"quarantined: {error}"[:200]
        await self._publish(give_up(event, reason), "not-indexed")

    async def _publish(self, batch: BatchIndexed, prefix: str) -> None:
        name = f"{prefix}-{batch.build.id}-{batch.part}-{batch.batch}"
        await self._bus.publish(batch, message_id=name, queue=queue_of(batch.build))
