"""The bus port: publish an event, react to events. Subjects come from the message option in `proto/`."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import reduce
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from nearcode.api.events.v1.events_pb2 import Build
from nearcode.api.options.v1 import options_pb2
from nearcode.events.topology import Queue as Queue

_FIELD = re.compile(r"\{([\w.]+)\}")
_TOKEN = re.compile(r"^[A-Za-z0-9_-]+$")

E = TypeVar("E", bound=Message)
Handler = Callable[[E], Awaitable[None]]
ANY = "*"


class Bus(Protocol):
    """At least once: a message is acknowledged after its handler returns, and quarantined after its last retry."""

    async def publish(self, event: Message, *, message_id: str, queue: Queue = "small") -> None:
        """Returns when the broker has stored the event. The same id twice within ten minutes is stored once.
        Raises Unavailable (broker down, stream full) and InvalidRequest (over 64 KB)."""
        ...

    async def react(
        self,
        event: type[E],
        handler: Handler[E],
        on_dead: Callable[[E, str], Awaitable[None]] | None = None,
        concurrency: int = 2,
        *,
        fill: str = "",
    ) -> None:
        """Calls `handler` for each event until the bus closes. `on_dead` is told of events that were quarantined, with the
        error, so that what waits for them can go on. `fill` names a collection, or ANY: then only events that fill it are
        handled, and else all others."""
        ...

    async def follow(self, event: type[E], handler: Handler[E]) -> None:
        """Calls `handler` for each new fact, in every replica."""
        ...


def queue_of(build: Build) -> Queue:
    """The queue that the events of a build travel on."""
    if build.fill:
        return "fill"
    return "bulk" if build.bulk else "small"


def subject(event: Message | type[Message], org: str, fields: Mapping[str, str] | None = None, queue: Queue = "small") -> str:
    """The subject of an event. For a type instead of a message, unnamed tokens become the wildcard `*`."""
    option = event.DESCRIPTOR.GetOptions().Extensions[options_pb2.event]
    template = {"small": option.subject, "bulk": option.bulk_subject, "fill": option.fill_subject}[queue]
    values = {"org": org, **(fields or {})}

    def token(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values and isinstance(event, type):
            return "*"
        value = values[name] if name in values else str(reduce(getattr, name.split("."), event))
        if not _TOKEN.match(value):
            raise ValueError(f"{name} {value!r} cannot be a subject token")
        return value

    return _FIELD.sub(token, template)
