"""What becomes of one message: answered by its handler, tried again later, or quarantined with its error."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from opentelemetry import trace

from nearcode.adapters.jetstream_errors import TIMEOUT, insist, nats_errors
from nearcode.domain.errors import Conflict, NearcodeError, Reason, Unavailable
from nearcode.events import topology
from nearcode.events.bus import Handler
from nearcode.events.observer import BusObserver
from nearcode.telemetry import conventions
from nearcode.telemetry.log import get_logger
from nearcode.telemetry.propagation import use_traceparent
from nearcode.telemetry.spans import failed, spanned

E = TypeVar("E", bound=Message)
log = get_logger(__name__)
tracer = trace.get_tracer("nearcode.events")

ERROR, REASON, SUBJECT, DELIVERIES, EVENT = (
    "Nearcode-Error",
    "Nearcode-Reason",
    "Nearcode-Subject",
    "Nearcode-Deliveries",
    "Nearcode-Event",
)


class Reactor(Generic[E]):
    """Answers messages of one event: decode, call the handler, then acknowledge, try again later or quarantine."""

    def __init__(
        self,
        stream: JetStreamContext,
        observer: BusObserver,
        event: type[E],
        handler: Handler[E],
        on_dead: Callable[[E, str], Awaitable[None]] | None,
    ) -> None:
        self._stream, self._observer = stream, observer
        self._event, self._handler, self._on_dead = event, handler, on_dead

    async def answer(self, message: Msg) -> None:
        """Raises Unavailable when the broker is away, so that nobody knows: it delivers the message again."""
        event = self._event()
        async with _at_work(message):
            try:
                event.ParseFromString(message.data)
            except DecodeError as error:
                await self._quarantine(message, f"cannot be decoded: {error}", Reason.MALFORMED_REQUEST)
                return
            began, outcome = time.monotonic(), "retried"
            with processing(message, event.DESCRIPTOR.name) as span:
                try:
                    outcome = await self._answer(message, event, span)
                finally:
                    self._observer.answered(event.DESCRIPTOR.name, outcome, time.monotonic() - began)

    async def _answer(self, message: Msg, event: E, span: trace.Span) -> str:
        """How it ended, as `BusObserver.answered` says."""
        deliveries = message.metadata.num_delivered
        if deliveries > topology.DELIVERIES_WHILE_UNAVAILABLE:
            return await self._dead(message, event, f"delivered {deliveries} times without an answer", "EXHAUSTED")
        try:
            await self._handler(event)
        except (Unavailable, Conflict) as error:
            failed(span, error)
            if deliveries >= topology.DELIVERIES_WHILE_UNAVAILABLE:
                return await self._dead(message, event, error.message, error.reason)
            log.warning("an event waits", subject=message.subject, reason=error.reason, error=error.message)
            await _later(message, deliveries)
            return "retried"
        except NearcodeError as error:
            failed(span, error)
            return await self._dead(message, event, error.message, error.reason)
        except Exception as error:
            failed(span, error)
            log.exception("a handler failed", subject=message.subject, delivery=deliveries)
            if deliveries >= topology.DELIVERIES:
                return await self._dead(message, event, f"{type(error).__name__}: {error}", "INTERNAL")
            await _later(message, deliveries)
            return "failed"
        await insist(lambda: message.ack_sync(timeout=TIMEOUT))
        return "done"

    async def _dead(self, message: Msg, event: E, error: str, reason: str) -> str:
        if self._on_dead:
            await self._on_dead(event, error)
        await self._quarantine(message, error, reason)
        return "quarantined"

    async def _quarantine(self, message: Msg, error: str, reason: str) -> None:
        """Keeps a message with its error for people, and takes it off its queue."""
        headers = {
            **{key: value for key, value in (message.headers or {}).items() if key != "Nats-Msg-Id"},
            "Nats-Msg-Id": f"dead-{message.metadata.stream}-{message.metadata.sequence.stream}",
            ERROR: " ".join(error.split())[:1000],
            REASON: reason,
            SUBJECT: message.subject,
            DELIVERIES: str(message.metadata.num_delivered),
        }
        await insist(lambda: self._stream.publish(f"quarantine.{message.subject}", message.data, headers=headers))
        with nats_errors():
            await message.term()
        log.error("a message was quarantined", subject=message.subject, reason=reason, error=error)


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


async def _later(message: Msg, deliveries: int) -> None:
    with nats_errors():
        await message.nak(delay=topology.retry_delay(deliveries))


@contextlib.asynccontextmanager
async def _at_work(message: Msg) -> AsyncIterator[None]:
    """Tells the broker that the message is being worked on, until the block ends."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(topology.ACK_WAIT / 3)
            try:
                await message.in_progress()
            except NatsError as error:  # the broker is away; it may be back at the next beat
                log.info("a heartbeat was not sent", subject=message.subject, error=str(error))

    heart = asyncio.create_task(beat())
    try:
        yield
    finally:
        heart.cancel()
