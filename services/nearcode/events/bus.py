"""The bus port: publish an event, react to events. Subjects come from the message option in `proto/`."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from nearcode.api.options.v1 import options_pb2

_FIELD = re.compile(r"\{(\w+)\}")
_TOKEN = re.compile(r"^[A-Za-z0-9_-]+$")

E = TypeVar("E", bound=Message)
Handler = Callable[[E], Awaitable[None]]


class Bus(Protocol):
    """At least once: a message is acknowledged after its handler returns, and quarantined after its last retry."""

    async def publish(self, event: Message, *, message_id: str, bulk: bool = False) -> None:
        """Returns when the broker has stored the event. The same id twice within ten minutes is stored once.
        Raises Unavailable (broker down, stream full) and InvalidRequest (over 64 KB)."""
        ...

    async def react(
        self,
        event: type[E],
        handler: Handler[E],
        on_dead: Callable[[E, str], Awaitable[None]] | None = None,
        concurrency: int = 2,
    ) -> None:
        """Calls `handler` for each event until the bus closes. `on_dead` is told of events that were quarantined, with the
        error, so that what waits for them can go on."""
        ...

    async def follow(self, event: type[E], handler: Handler[E]) -> None:
        """Calls `handler` for each new fact, in every replica."""
        ...


def subject(event: Message | type[Message], org: str, fields: Mapping[str, str] | None = None, *, bulk: bool = False) -> str:
    """The subject of an event. For a type instead of a message, unnamed tokens become the wildcard `*`."""
    option = event.DESCRIPTOR.GetOptions().Extensions[options_pb2.event]
    template = option.bulk_subject if bulk else option.subject
    values = {"org": org, **(fields or {})}

    def token(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values and isinstance(event, type):
            return "*"
        value = values[name] if name in values else str(getattr(event, name))
        if not _TOKEN.match(value):
            raise ValueError(f"{name} {value!r} cannot be a subject token")
        return value

    return _FIELD.sub(token, template)
