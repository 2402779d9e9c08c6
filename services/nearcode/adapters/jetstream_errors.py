"""What the NATS client library raises, as the expected failures; and trying again what is safe to try again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    NoRespondersError,
    OutboundBufferLimitError,
    StaleConnectionError,
)
from nats.js.errors import APIError, DigestMismatchError, NoStreamResponseError, ServerError, ServiceUnavailableError

from nearcode.domain.errors import Reason, Unavailable

T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds until a question to the broker counts as unanswered."""

ELECTION_SECONDS = 10.0
"""How long what is safe to repeat is repeated: a stream without a leader had a new one after 4.5 to 5.5 s (measured)."""

ATTEMPT_SECONDS = 2.0
"""What is repeated waits shorter for each answer: a question that a dying leader took is never answered."""

_PAUSE = 0.1
_NO_SPACE = ("insufficient storage", "no space left", "resource limits exceeded", "insufficient resources")
_FULL = ("maximum messages exceeded", "maximum bytes exceeded", "too many requests")
_FOR_NOW = (10005, 10158)
"""JetStream's error codes for what passes: fewer servers than a stream has replicas; a message sent again while the first
attempt to store it is undecided."""
_AWAY = (
    TimeoutError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    NoRespondersError,
    NoStreamResponseError,
    OutboundBufferLimitError,
    StaleConnectionError,
    DigestMismatchError,
    OSError,
)
"""The broker is away, or this stream of it: without a leader nobody responds. A digest differs if a server died meanwhile."""


@contextlib.contextmanager
def nats_errors() -> Iterator[None]:
    """Maps what the client library raises to the expected failures. What says "never", such as NotFoundError, passes."""
    try:
        yield
    except APIError as error:
        text = str(getattr(error, "description", None) or error).lower()
        if any(words in text for words in _NO_SPACE):
            raise Unavailable("the event broker has no disk space left: free some", Reason.DISK_FULL, 10.0) from error
        if any(words in text for words in _FULL):
            raise Unavailable("too much work is queued: try again later", Reason.OVERLOADED, 5.0) from error
        # 503: "JetStream system temporarily unavailable" (10008) and its like; 500: a server's own trouble, not the request's.
        if isinstance(error, ServiceUnavailableError | ServerError) or getattr(error, "err_code", None) in _FOR_NOW:
            raise Unavailable(f"the event broker cannot do it now: {text}", Reason.EVENTS_UNAVAILABLE) from error
        raise
    except _AWAY as error:
        raise Unavailable("the event broker does not answer", Reason.EVENTS_UNAVAILABLE) from error


async def insist(attempt: Callable[[], Awaitable[T]]) -> T:
    """Tries until it works or an election would be over. Only for what twice is the same as once. Raises Unavailable."""
    deadline = asyncio.get_running_loop().time() + ELECTION_SECONDS
    while True:
        try:
            with nats_errors():
                return await asyncio.wait_for(attempt(), ATTEMPT_SECONDS)
        except Unavailable as error:
            if error.reason != Reason.EVENTS_UNAVAILABLE or asyncio.get_running_loop().time() + _PAUSE > deadline:
                raise
        await asyncio.sleep(_PAUSE)
