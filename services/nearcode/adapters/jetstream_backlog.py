"""How much waits in the queues of a process."""

import asyncio

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from nearcode.adapters.jetstream_errors import TIMEOUT, nats_errors
from nearcode.events import topology
from nearcode.events.metrics import Queue

_QUARANTINE = "quarantine"


class Backlog:
    """Asks the broker about the consumers of `subjects`, which may grow, and about what was given up."""

    def __init__(self, client: Client, subjects: list[str], *, quarantine: bool = False) -> None:
        self._stream, self._subjects, self._quarantine = client.jetstream(timeout=TIMEOUT), subjects, quarantine

    async def queues(self) -> list[Queue]:
        """One a consumer that is there. Raises Unavailable."""
        with nats_errors():
            found = await asyncio.gather(*map(self._consumer, self._subjects))
            given_up = [await self._given_up()] if self._quarantine else []
        return [queue for queue in found if queue] + given_up

    async def _consumer(self, subject: str) -> Queue | None:
        stream, durable = topology.stream_of(subject), topology.durable_of(subject)
        try:
            info = await self._stream.consumer_info(stream, durable)
        except NotFoundError:  # nobody has consumed yet
            return None
        return Queue(stream, topology.stage_of(subject), info.num_pending or 0, info.num_ack_pending or 0)

    async def _given_up(self) -> Queue:
        state = (await self._stream.stream_info(_QUARANTINE)).state
        return Queue(_QUARANTINE, _QUARANTINE, state.messages, 0)
