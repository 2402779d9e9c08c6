"""NATS JetStream: the bus. At least once, acknowledged after the effect, quarantined after the last retry."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, NoRespondersError, OutboundBufferLimitError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError
from opentelemetry import trace

from nearcode.adapters.nats_tls import EncryptedClient, encrypts, fault
from nearcode.domain.errors import Conflict, InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.events import topology
from nearcode.events.bus import ANY, Handler, Queue, subject
from nearcode.events.observer import BusObserver
from nearcode.telemetry import conventions
from nearcode.telemetry.log import get_logger
from nearcode.telemetry.propagation import current_traceparent, use_traceparent
from nearcode.telemetry.spans import failed, spanned

E = TypeVar("E", bound=Message)
log = get_logger(__name__)
tracer = trace.get_tracer("nearcode.events")

TIMEOUT = 5.0
_POLL_SECONDS = 5.0
ERROR, REASON, SUBJECT, DELIVERIES, EVENT = (
    "Nearcode-Error",
    "Nearcode-Reason",
    "Nearcode-Subject",
    "Nearcode-Deliveries",
    "Nearcode-Event",
)
_NO_SPACE = ("insufficient storage", "no space left", "resource limits exceeded")
_FULL = ("maximum messages exceeded", "maximum bytes exceeded")


@contextlib.contextmanager
def nats_errors() -> Iterator[None]:
    """Maps what the client library raises to the expected failures."""
    try:
        yield
    except APIError as error:
        text = (error.description or str(error)).lower()
        if any(words in text for words in _NO_SPACE):
            raise Unavailable("the event broker has no disk space left: free some", Reason.DISK_FULL, 10.0) from error
        if any(words in text for words in _FULL):
            raise Unavailable("too much work is queued: try again later", Reason.OVERLOADED, 5.0) from error
        raise
    except (TimeoutError, ConnectionClosedError, NoRespondersError, OutboundBufferLimitError, OSError) as error:
        raise Unavailable("the event broker does not answer", Reason.EVENTS_UNAVAILABLE) from error


async def connect(url: str, name: str, context: ssl.SSLContext | None = None, token: str | None = None) -> Client:
    """Connects and stays connected: reconnects for ever. `url`: one or several, separated by commas. `context`: whom to
    trust and what to show where a server speaks TLS; at `tls://` nothing less is accepted. Raises Unavailable when no broker
    can be reached now, with CERTIFICATE when TLS is to blame."""
    faults: list[str] = []

    async def say(error: Exception) -> None:
        faults.append(fault(error))
        log.warning("event broker", error=faults[-1] or str(error))

    servers = [each.strip() for each in url.split(",")]
    client = EncryptedClient() if encrypts(url) else Client()
    trying = client.connect(
        servers, name=name, error_cb=say, token=token, tls=context,
        # The client library would go on trying for ever, also the first time.
        max_reconnect_attempts=-1, reconnect_time_wait=0.2, connect_timeout=5,
    )  # fmt: skip
    try:
        await asyncio.wait_for(trying, TIMEOUT)
    except (NatsError, OSError, TimeoutError) as error:
        await client.close()
        places = ", ".join(server.rpartition("@")[2].rpartition("//")[2] for server in servers)
        if known := next(filter(None, reversed(faults)), ""):
            raise Unavailable(f"the event broker at {places} cannot be used: {known}", Reason.CERTIFICATE, 30.0) from error
        raise Unavailable(f"no event broker answers at {places}", Reason.EVENTS_UNAVAILABLE) from error
    return client


class JetStreamBus:
    """The bus over one connection. `bulk`: this process also works on first indexes and large backlogs."""

    def __init__(self, client: Client, org: str, *, bulk: bool = True, observer: BusObserver | None = None) -> None:
        self._client, self._org, self._bulk = client, org, bulk
        self.observer = observer or BusObserver()
        self.subjects: list[str] = []
        """What this process works on: subjects of `react`."""
        self._stream: JetStreamContext = client.jetstream(timeout=TIMEOUT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Makes the streams that are missing and brings the others up to this version."""
        for stream in topology.STREAMS:
            config = StreamConfig(
                name=stream.name,
                subjects=list(stream.subjects),
                retention=RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS,
                discard=DiscardPolicy.NEW if stream.work_queue else DiscardPolicy.OLD,
                max_msgs_per_subject=1 if stream.newest_only else -1,
                max_age=stream.max_age,
                max_bytes=stream.max_bytes,
                max_msg_size=4 * topology.LARGEST_EVENT,
                storage=StorageType.FILE,
                duplicate_window=topology.DUPLICATE_WINDOW,
            )
            with nats_errors():
                await self._stream.add_stream(config)

    async def close(self) -> None:
        """Stops fetching, waits for handlers at work (20 s at most) and hands the others' messages back."""
        self._closing.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=20)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def healthy(self) -> bool:
        return self._client.is_connected

    async def publish(self, event: Message, *, message_id: str, queue: Queue = "small") -> None:
        data = event.SerializeToString(deterministic=True)
        if len(data) > topology.LARGEST_EVENT:
            raise InvalidRequest(f"an event of {len(data)} bytes is over {topology.LARGEST_EVENT}", Reason.TOO_LARGE)
        name, place = event.DESCRIPTOR.name, subject(event, self._org, queue=queue)
        headers = {"Nats-Msg-Id": message_id, EVENT: name}
        attributes = conventions.message("send", name, place, message_id, len(data))
        with spanned(tracer, f"send {name}", attributes, trace.SpanKind.PRODUCER):
            if traceparent := current_traceparent():
                headers["traceparent"] = traceparent
            with nats_errors():
                await self._stream.publish(place, data, headers=headers)
        self.observer.sent(name)

    async def react(
        self,
        event: type[E],
        handler: Handler[E],
        on_dead: Callable[[E, str], Awaitable[None]] | None = None,
        concurrency: int = 2,
        *,
        fill: str = "",
    ) -> None:
        queues: tuple[Queue, ...] = ("fill",) if fill else ("small", "bulk") if self._bulk else ("small",)
        collection = {"build.collection": fill} if fill not in ("", ANY) else {}
        for name in filter(None, (subject(event, self._org, collection, queue) for queue in queues)):
            self.subjects.append(name)
            reactor = _Reactor(self, event, handler, on_dead)
            self._start(self._consume(name, reactor, concurrency))

    async def follow(self, event: type[E], handler: Handler[E]) -> None:
        async def deliver(message: Msg) -> None:
            fact = event()
            try:
                fact.ParseFromString(message.data)
                with processing(message, event.DESCRIPTOR.name):
                    await handler(fact)
            except (DecodeError, NearcodeError) as error:
                log.warning("a fact was not taken", subject=message.subject, error=str(error))

        with nats_errors():
            await self._stream.subscribe(
                subject(event, self._org), stream="facts", cb=deliver, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW
            )

    async def quarantine(self, message: Msg, error: str, reason: str) -> None:
        """Keeps a message with its error for people, and takes it off its queue."""
        headers = {
            **{key: value for key, value in (message.headers or {}).items() if key != "Nats-Msg-Id"},
            "Nats-Msg-Id": f"dead-{message.metadata.stream}-{message.metadata.sequence.stream}",
            ERROR: " ".join(error.split())[:1000],
            REASON: reason,
            SUBJECT: message.subject,
            DELIVERIES: str(message.metadata.num_delivered),
        }
        with nats_errors():
            await self._stream.publish(f"quarantine.{message.subject}", message.data, headers=headers)
            await message.term()
        log.error("a message was quarantined", subject=message.subject, reason=reason, error=error)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _consume(self, name: str, reactor: "_Reactor[Any]", concurrency: int) -> None:
        slots = asyncio.Semaphore(concurrency)
        while not self._closing.is_set():
            try:
                await self._connected()
                with nats_errors():
                    consumer = await self._consumer(name, concurrency)
                    await self._fetch(consumer, reactor, slots)
            except (NearcodeError, NatsError) as error:
                log.warning("the event broker is away", subject=name, error=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), 0.5)

    async def _connected(self) -> None:
        """Waits until the broker is there: a question sent to nobody would wait for its time-out instead."""
        while not self._client.is_connected and not self._closing.is_set():  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(0.05)

    async def _consumer(self, name: str, concurrency: int) -> JetStreamContext.PullSubscription:
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT, ack_wait=topology.ACK_WAIT, max_deliver=-1, max_ack_pending=max(16, 4 * concurrency)
        )
        return await self._stream.pull_subscribe(
            name, durable=topology.durable_of(name), stream=topology.stream_of(name), config=config
        )

    async def _fetch(
        self, consumer: JetStreamContext.PullSubscription, reactor: "_Reactor[Any]", slots: asyncio.Semaphore
    ) -> None:
        async def answer(message: Msg) -> None:
            try:
                await reactor.answer(message)
            except NearcodeError as error:  # not acknowledged: the broker delivers it again
                log.warning("an event could not be answered", subject=message.subject, error=str(error))
            finally:
                slots.release()

        while not self._closing.is_set():
            await slots.acquire()
            try:
                message = await _next(self._client, consumer, self._closing)
            except BaseException:
                slots.release()
                raise
            if message is None:
                slots.release()
                continue
            self._start(answer(message))


async def _next(client: Client, consumer: JetStreamContext.PullSubscription, closing: asyncio.Event) -> Msg | None:
    """One message, or None when none came for a while or the bus closes. Raises ConnectionClosedError."""
    fetch = asyncio.create_task(consumer.fetch(1, timeout=_POLL_SECONDS))
    stop = asyncio.create_task(closing.wait())
    await asyncio.wait({fetch, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not fetch.done():
        fetch.cancel()
    try:
        messages = await fetch
    except (TimeoutError, asyncio.CancelledError):
        # Silence and a lost connection look alike here; the client's state tells them apart.
        if not closing.is_set() and not client.is_connected:
            raise ConnectionClosedError from None
        return None
    return messages[0] if messages else None


@contextlib.contextmanager
def processing(message: Msg, event: str) -> Iterator[trace.Span]:
    """Runs a handler in the trace of the message it handles."""
    headers = message.headers or {}
    attributes = conventions.message("process", event, message.subject, headers.get("Nats-Msg-Id", ""), len(message.data))
    attributes[conventions.DELIVERIES] = message.metadata.num_delivered
    with (
        use_traceparent(headers.get("traceparent", "")),
        spanned(tracer, f"process {event}", attributes, trace.SpanKind.CONSUMER) as span,
    ):
        yield span


class _Reactor(Generic[E]):
    """Answers messages of one event: decode, call the handler, then acknowledge, try again later or quarantine."""

    def __init__(
        self, bus: JetStreamBus, event: type[E], handler: Handler[E], on_dead: Callable[[E, str], Awaitable[None]] | None
    ) -> None:
        self._bus, self._event, self._handler, self._on_dead = bus, event, handler, on_dead

    async def answer(self, message: Msg) -> None:
        event = self._event()
        try:
            event.ParseFromString(message.data)
        except DecodeError as error:
            await self._bus.quarantine(message, f"cannot be decoded: {error}", Reason.MALFORMED_REQUEST)
            return
        began, outcome = time.monotonic(), "retried"
        with processing(message, event.DESCRIPTOR.name) as span:
            try:
                outcome = await self._answer(message, event, span)
            finally:
                self._bus.observer.answered(event.DESCRIPTOR.name, outcome, time.monotonic() - began)

    async def _answer(self, message: Msg, event: E, span: trace.Span) -> str:
        """How it ended, as `BusObserver.answered` says."""
        deliveries = message.metadata.num_delivered
        if deliveries > topology.DELIVERIES_WHILE_UNAVAILABLE:
            return await self._dead(message, event, f"delivered {deliveries} times without an answer", "EXHAUSTED")
        try:
            async with _at_work(message):
                await self._handler(event)
        except (Unavailable, Conflict) as error:
            failed(span, error)
            if deliveries >= topology.DELIVERIES_WHILE_UNAVAILABLE:
                return await self._dead(message, event, error.message, error.reason)
            log.warning("an event waits", subject=message.subject, reason=error.reason, error=error.message)
            await message.nak(delay=topology.retry_delay(deliveries))
            return "retried"
        except NearcodeError as error:
            failed(span, error)
            return await self._dead(message, event, error.message, error.reason)
        except Exception as error:
            failed(span, error)
            log.exception("a handler failed", subject=message.subject, delivery=deliveries)
            if deliveries >= topology.DELIVERIES:
                return await self._dead(message, event, f"{type(error).__name__}: {error}", "INTERNAL")
            await message.nak(delay=topology.retry_delay(deliveries))
            return "failed"
        with nats_errors():
            await message.ack_sync(timeout=TIMEOUT)
        return "done"

    async def _dead(self, message: Msg, event: E, error: str, reason: str) -> str:
        if self._on_dead:
            await self._on_dead(event, error)
        await self._bus.quarantine(message, error, reason)
        return "quarantined"


@contextlib.asynccontextmanager
async def _at_work(message: Msg) -> AsyncIterator[None]:
    """Tells the broker that the message is being worked on, until the block ends."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(topology.ACK_WAIT / 3)
            await message.in_progress()

    heart = asyncio.create_task(beat())
    try:
        yield
    finally:
        heart.cancel()
