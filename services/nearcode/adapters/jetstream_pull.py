"""Fetches messages of one consumer after the other, whatever happens to the broker meanwhile."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from nearcode.adapters.jetstream_consumers import Occupied, Pulled, SharedConsumers
from nearcode.adapters.jetstream_errors import TIMEOUT, nats_errors
from nearcode.domain.errors import NearcodeError
from nearcode.events import topology
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

Answer = Callable[[Msg], Awaitable[None]]

_POLL_SECONDS = 5.0
"""A request whose consumer lost its leader is never answered: after so long the next one is sent. As long as an election."""
_PAUSE = 0.5
_FORGOTTEN_SECONDS = 60.0
"""A follower's consumer goes when nobody has asked it for so long."""


class Puller:
    """Makes consumers, fetches from them and makes them again when they are lost, until `closing`."""

    def __init__(self, client: Client, closing: asyncio.Event) -> None:
        self._client, self._closing = client, closing
        self._stream = client.jetstream(timeout=TIMEOUT)
        self._consumers = SharedConsumers(self._stream)
        self._tasks: set[asyncio.Task[None]] = set()

    def share(self, subject: str, answer: Answer, concurrency: int) -> None:
        """Works on a subject together with every process that does, by one durable consumer, some messages at once."""
        slots = asyncio.Semaphore(concurrency)

        async def consumer() -> Pulled:
            return await self._consumers.open(subject)

        self._start(self._run(subject, consumer, lambda pulled: self._some_at_once(pulled, answer, slots)))

    def follow(self, subject: str, answer: Answer, sequence: int) -> None:
        """Answers every message of a subject from a stream sequence on, in order, in this process. A consumer that was lost
        with its server is made again where it ended, so that nothing is missed."""
        stream = topology.stream_of(subject)

        async def consumer() -> Pulled:
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=sequence,
                ack_policy=AckPolicy.NONE,
                filter_subject=subject,
                inactive_threshold=_FORGOTTEN_SECONDS,
                num_replicas=1,
                mem_storage=True,
            )
            info = await self._stream.add_consumer(stream, config)
            return await self._stream.pull_subscribe_bind(info.name, stream)

        async def taken(message: Msg) -> None:
            nonlocal sequence
            await answer(message)
            sequence = message.metadata.sequence.stream + 1

        self._start(self._run(subject, consumer, lambda pulled: self._in_order(pulled, taken)))

    def leave(self, subject: str) -> None:
        """Removes the consumer of a subject that nobody of this version works on, however long the broker is away."""

        async def removed() -> None:
            while not self._closing.is_set():
                try:
                    await self._connected()
                    await self._consumers.remove(subject)
                    break
                except (NearcodeError, NatsError) as error:
                    await self._pause(subject, error)

        self._start(removed())

    async def remove(self, subject: str) -> None:
        """Removes the consumer of a subject, after `close`. Raises Unavailable."""
        await self._consumers.remove(subject)

    async def close(self, seconds: float) -> None:
        """After `closing`: waits for messages that are being answered, then gives them up."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, subject: str, consumer: Callable[[], Awaitable[Pulled]], work: Callable[[Pulled], Awaitable[None]]
    ) -> None:
        while not self._closing.is_set():
            try:
                await self._connected()
                with nats_errors():
                    pulled = await consumer()
                    try:
                        await work(pulled)
                    finally:
                        await _let_go(pulled)
            except (NearcodeError, NatsError) as error:
                await self._pause(subject, error)

    async def _pause(self, subject: str, error: Exception) -> None:
        log.warning("messages cannot be fetched now", subject=subject, error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), error.retry_after if isinstance(error, Occupied) else _PAUSE)

    async def _connected(self) -> None:
        """Waits until the broker is there: a question sent to nobody would wait for its time-out instead."""
        while not self._client.is_connected and not self._closing.is_set():  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(0.05)

    async def _some_at_once(self, pulled: Pulled, answer: Answer, slots: asyncio.Semaphore) -> None:
        async def answered(message: Msg) -> None:
            try:
                await answer(message)
            except NearcodeError as error:  # not acknowledged: the broker delivers it again
                log.warning("an event could not be answered", subject=message.subject, error=str(error))
            finally:
                slots.release()

        while not self._closing.is_set():
            await slots.acquire()
            try:
                message = await self._next(pulled)
            except BaseException:
                slots.release()
                raise
            if message is None:
                slots.release()
            else:
                self._start(answered(message))

    async def _in_order(self, pulled: Pulled, answer: Answer) -> None:
        """Returns as soon as a message may have been lost on its way: none is sent twice to who does not acknowledge. A
        consumer whose server came back begins anew, which shows in its sequence, too."""
        expected, connections = 1, self._client.stats["reconnects"]
        while not self._closing.is_set() and self._client.stats["reconnects"] == connections:
            message = await self._next(pulled)
            if message is not None:
                if message.metadata.sequence.consumer != expected:
                    return
                expected += 1
                await answer(message)

    async def _next(self, pulled: Pulled) -> Msg | None:
        """One message, or None when none came for a while or the bus closes. Raises ConnectionClosedError."""
        fetch = asyncio.create_task(pulled.fetch(1, timeout=_POLL_SECONDS))
        stop = asyncio.create_task(self._closing.wait())
        await asyncio.wait({fetch, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not fetch.done():
            fetch.cancel()
        try:
            messages = await fetch
        except (TimeoutError, asyncio.CancelledError):
            # Silence and a lost connection look alike here; the client's state tells them apart.
            if not self._closing.is_set() and not self._client.is_connected:
                raise ConnectionClosedError from None
            return None
        return messages[0] if messages else None


async def _let_go(pulled: Pulled) -> None:
    """Ends the interest in a consumer's answers, so that it does not send to somebody who has left."""
    try:
        await pulled.unsubscribe()
    except NatsError as error:  # the connection is gone, and the interest with it
        log.debug("a consumer was not let go", error=str(error))
