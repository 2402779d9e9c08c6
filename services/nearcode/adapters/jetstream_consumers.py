"""The shared consumers of events/topology.py: made, brought up to this version, and cleared of what stands in their way."""

import time

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo
from nats.js.errors import APIError, NotFoundError

from nearcode.adapters.jetstream_errors import nats_errors
from nearcode.domain.errors import Reason, Unavailable
from nearcode.events import topology
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

Pulled = JetStreamContext.PullSubscription

_OVERLAP = 10100
"""JetStream's error code for a second consumer of the same messages of a work queue."""
_IDLE_SECONDS = 3 * topology.ACK_WAIT
"""A consumer that nobody asked for so long, whenever somebody looked, is one whose processes have ended: they ask all the time
but while all of them are busy."""
_AGAIN_SECONDS = 2.0


class Occupied(Unavailable):
    """Others work on these messages."""


class SharedConsumers:
    """Opens consumers. One that a Job needs removes those that overlap with it: its process knows that first indexes are for
    Jobs. One of all repositories waits for theirs to end, and removes what dead Jobs have left."""

    def __init__(self, stream: JetStreamContext, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._stream, self._idle_seconds = stream, idle_seconds
        self._idle_since: dict[str, float] = {}

    async def open(self, subject: str) -> Pulled:
        """The consumer of a subject, to fetch from. Raises Occupied and Unavailable."""
        stream, durable = topology.stream_of(subject), topology.durable_of(subject)
        with nats_errors():
            try:
                await self._stream.add_consumer(stream, _config(subject))
            except APIError as error:
                if error.err_code != _OVERLAP:
                    raise
                await self._clear(subject)
                message = f"others work on {subject}: trying again"
                raise Occupied(message, Reason.EVENTS_UNAVAILABLE, _AGAIN_SECONDS) from error
            return await self._stream.pull_subscribe_bind(durable, stream)

    async def remove(self, subject: str) -> None:
        """Removes the consumer of a subject, if it is there. Its messages stay. Raises Unavailable."""
        await self._delete(topology.stream_of(subject), topology.durable_of(subject))

    async def _clear(self, subject: str) -> None:
        for found in await self._overlapping(subject):
            if topology.of_one_repository(subject) or self._is_left_over(found):
                log.info("a consumer is removed: first indexes are worked on otherwise now", consumer=found.name, by=subject)
                await self._delete(found.stream_name, found.name)

    def _is_left_over(self, found: ConsumerInfo) -> bool:
        if found.num_waiting:
            self._idle_since.pop(found.name, None)
            return False
        return time.monotonic() - self._idle_since.setdefault(found.name, time.monotonic()) >= self._idle_seconds

    async def _overlapping(self, subject: str) -> list[ConsumerInfo]:
        stream, found = topology.stream_of(subject), list[ConsumerInfo]()
        while page := await self._stream.consumers_info(stream, len(found)):
            found += page
        return [each for each in found if each.config.filter_subject and topology.overlap(each.config.filter_subject, subject)]

    async def _delete(self, stream: str, name: str) -> None:
        with nats_errors():
            try:
                await self._stream.delete_consumer(stream, name)
            except NotFoundError:
                return
        log.info("a consumer is removed", consumer=name)


def _config(subject: str) -> ConsumerConfig:
    name = topology.durable_of(subject)
    return ConsumerConfig(
        name=name,
        durable_name=name,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=topology.ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=topology.MOST_UNANSWERED,
        inactive_threshold=topology.FORGOTTEN if topology.of_one_repository(subject) else None,
    )
