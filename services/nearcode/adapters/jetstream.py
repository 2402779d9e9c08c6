"""NATS JetStream: the bus. At least once, acknowledged after the effect, quarantined after the last retry."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from opentelemetry import trace

from nearcode.adapters.jetstream_errors import TIMEOUT, insist
from nearcode.adapters.jetstream_pull import Puller
from nearcode.adapters.jetstream_reactor import EVENT, Reactor, processing, tracer
from nearcode.adapters.nats_tls import EncryptedClient, encrypts, fault
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.events import topology
from nearcode.events.bus import ANY, Handler, Queue, subject
from nearcode.events.observer import BusObserver
from nearcode.telemetry import conventions
from nearcode.telemetry.log import get_logger
from nearcode.telemetry.propagation import current_traceparent
from nearcode.telemetry.spans import spanned

E = TypeVar("E", bound=Message)
log = get_logger(__name__)

_CLOSING_SECONDS = 20.0
_STEP = 0.1
_AGAIN = 10.0
"""Seconds until the same trouble with the connection is logged again."""


async def connect(url: str, name: str, context: ssl.SSLContext | None = None, token: str | None = None) -> Client:
    """Connects and stays connected: reconnects for ever. `url`: one or several, separated by commas. `context`: whom to trust
    and what to show where a server speaks TLS; at `tls://` nothing less is accepted. Raises Unavailable when no broker can be
    reached now, with CERTIFICATE when TLS is to blame."""
    servers = [each.strip() for each in url.split(",")]
    faults: list[str] = []
    first = True
    told: dict[str, float] = {}

    async def say(error: Exception) -> None:
        faults.append(fault(error))
        text, now = faults[-1] or str(error) or type(error).__name__, time.monotonic()
        if now - told.get(text, -_AGAIN) >= _AGAIN:  # it tries five times a second
            told[text] = now
            log.warning("event broker", error=text)
        if first and len(faults) >= len(servers) and all(faults[-len(servers) :]):
            raise error  # no certificate gets better by trying again

    client = EncryptedClient() if encrypts(url) else Client()
    trying = client.connect(
        servers,
        name=name,
        error_cb=say,
        token=token,
        tls=context,
        # The client library would go on trying for ever, also the first time.
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]
        connect_timeout=TIMEOUT,  # type: ignore[arg-type]
        ping_interval=5,  # a server that fell silent is left after 15 s; the library's two minutes are for other networks
    )
    try:
        await _responsive(trying, _patience(servers))
    except (NatsError, OSError, TimeoutError) as error:
        first = False
        with contextlib.suppress(TimeoutError):  # the library waits for ever for the end of a connection that TLS broke off
            await asyncio.wait_for(client.close(), 0.2)
        places = ", ".join(server.rpartition("@")[2].rpartition("//")[2] for server in servers)
        if known := next(filter(None, reversed(faults)), ""):
            raise Unavailable(f"the event broker at {places} cannot be used: {known}", Reason.CERTIFICATE, 30.0) from error
        raise Unavailable(f"no event broker answers at {places}", Reason.EVENTS_UNAVAILABLE) from error
    first = False
    return client


async def _responsive(work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Waits for so many seconds in which this process could listen: while it loads its libraries on a busy machine, it hears of
    no answer, and that is not the broker's fault. Raises TimeoutError."""
    task = asyncio.ensure_future(work)
    try:
        for _ in range(round(seconds / _STEP)):
            if (await asyncio.wait({task}, timeout=_STEP))[0]:
                return await task
        raise TimeoutError
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_STEP)


def _patience(servers: Sequence[str]) -> float:
    """Seconds until some server must have answered. A TLS handshake takes turns with what else this process loads when it
    starts, and servers end one that takes two seconds; then it begins anew."""
    several, encrypted = len(servers) > 1, any(map(encrypts, servers))
    return TIMEOUT * (4 if encrypted else 2 if several else 1)


class JetStreamBus:
    """The bus over one connection. `share`: what of the queues this process works on."""

    def __init__(
        self, client: Client, org: str, share: topology.Share | None = None, *, observer: BusObserver | None = None
    ) -> None:
        self._client, self._org, self._share = client, org, share or topology.Share()
        self.observer = observer or BusObserver()
        self.subjects: list[str] = []
        """What this process works on: subjects of `react`."""
        self._stream: JetStreamContext = client.jetstream(timeout=TIMEOUT)
        self._closing = asyncio.Event()
        self._puller = Puller(client, self._closing)

    async def close(self) -> None:
        """Stops fetching, waits for handlers at work (20 s at most) and hands the others' messages back."""
        self._closing.set()
        await self._puller.close(_CLOSING_SECONDS)

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
            await insist(lambda: self._stream.publish(place, data, headers=headers))
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
        queues = self._share.queues(topology.stage_of(subject(event, self._org)), bool(fill))
        for queue in queues:
            if name := self._place(event, queue, fill):
                self.subjects.append(name)
                reactor = Reactor(self._stream, self.observer, event, handler, on_dead)
                self._puller.share(name, reactor.answer, concurrency)
        if not fill and "bulk" not in queues and (name := self._place(event, "bulk")):
            self._puller.leave(name)

    def _place(self, event: type[Message], queue: Queue, fill: str = "") -> str:
        """The subject of what this process takes from a queue; empty for an event that does not travel on it."""
        fields = {"build.collection": fill} if fill not in ("", ANY) else {}
        if self._share.repository:
            fields["repository"] = self._share.repository
        return subject(event, self._org, fields, queue)

    async def left(self) -> dict[str, int]:
        """Messages that wait or are worked on, by stage, in the queues that this process works on. Raises Unavailable."""
        stages: dict[str, int] = {}
        for name in self.subjects:
            found = await insist(lambda name=name: self._stream.stream_info(topology.stream_of(name), name))  # type: ignore[misc]
            stage = topology.stage_of(name)
            stages[stage] = stages.get(stage, 0) + sum((found.state.subjects or {}).values())
        return stages

    async def remove_consumers(self) -> None:
        """Removes the consumers of this process's repository, after `close`. Raises Unavailable."""
        for name in filter(topology.of_one_repository, self.subjects):
            await self._puller.remove(name)

    async def follow(self, event: type[E], handler: Handler[E]) -> None:
        async def deliver(message: Msg) -> None:
            fact = event()
            try:
                fact.ParseFromString(message.data)
                with processing(message, event.DESCRIPTOR.name):
                    await handler(fact)
            except (DecodeError, NearcodeError) as error:
                log.warning("a fact was not taken", subject=message.subject, error=str(error))
            except Exception:
                log.exception("a follower failed", subject=message.subject)

        place = subject(event, self._org)
        facts = await insist(lambda: self._stream.stream_info(topology.stream_of(place)))
        self._puller.follow(place, deliver, facts.state.last_seq + 1)
