"""Parts of revisions, to the use case, to batches of chunks."""

from collections.abc import Iterable

from nearcode.api.events.v1.events_pb2 import ChunksCut, RevisionSynced
from nearcode.chunking.service import Chunking
from nearcode.events.bus import ANY, Bus, queue_of


class ChunkingWorker:
    """Reacts to RevisionSynced with ChunksCut. A part that cannot be cut is reported as failed, so that its revision ends."""

    def __init__(self, bus: Bus, chunking: Chunking, concurrency: int = 2) -> None:
        self._bus, self._chunking, self._concurrency = bus, chunking, concurrency

    async def start(self) -> None:
        await self._bus.react(RevisionSynced, self._cut, self._not_cut, self._concurrency)
        await self._bus.react(RevisionSynced, self._cut, self._not_cut, 1, fill=ANY)

    async def _cut(self, event: RevisionSynced) -> None:
        await self._publish(await self._chunking.cut_part(event), "cut")

    async def _not_cut(self, event: RevisionSynced, error: str) -> None:
        await self._publish(await self._chunking.give_up(event, f"quarantined: {error}"[:200]), "not-cut")

    async def _publish(self, batches: Iterable[ChunksCut], prefix: str) -> None:
        for batch in batches:
            name = f"{prefix}-{batch.build.id}-{batch.part}-{batch.batch}"
            await self._bus.publish(batch, message_id=name, queue=queue_of(batch.build))
