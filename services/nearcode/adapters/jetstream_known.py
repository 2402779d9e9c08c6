"""All entries of a key-value bucket, kept in memory: a look costs one question to the broker, and one for each change since;
none where nobody else writes."""

import contextlib
import datetime
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from nearcode.adapters.jetstream_errors import TIMEOUT, insist

T = TypeVar("T")

_FEW = 64
"""Changes that are read one after the other, also in a small bucket: 0.3 ms each."""


@dataclass(slots=True)
class _Known(Generic[T]):
    """What was read of a bucket up to a sequence: the sequence and the value of each key, None for deleted ones."""

    made: datetime.datetime | None = None
    upto: int = 0
    entries: dict[str, tuple[int, T | None]] = field(default_factory=dict)

    def take(self, key: str, sequence: int, value: T | None) -> None:
        """Of two that look at once, one may bring something older."""
        if sequence > self.entries.get(key, (0, None))[0]:
            self.entries[key] = sequence, value


class KnownEntries(Generic[T]):
    """The bucket as it is at the moment of the question: nothing is believed without asking the stream's leader how far it is.
    `load` reads all entries with their sequences; `decode` reads one. The bucket keeps one value a key. `alone`: all that is
    written to it is written within `writing`, so that in between what is known stays true."""

    def __init__(
        self,
        client: Client,
        name: str,
        decode: Callable[[bytes], T],
        load: Callable[[], Awaitable[Mapping[str, tuple[int, T]]]],
        *,
        alone: bool = False,
    ) -> None:
        self._stream, self._name, self._prefix = client.jetstream(timeout=TIMEOUT), f"KV_{name}", f"$KV.{name}."
        self._decode, self._load = decode, load
        self._known: _Known[T] = _Known()
        self._alone, self._writes, self._seen = alone, 0, -1

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Around a write, whatever comes of it: one that failed may have been done all the same."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes += 1

    async def all(self) -> dict[str, T]:
        """The values by key. Raises Unavailable."""
        if not self._alone or self._seen != self._writes:
            writes = self._writes
            await self._look()
            self._seen = writes
        return {key: value for key, (_, value) in self._known.entries.items() if value is not None}

    async def _look(self) -> None:
        before = self._known.upto
        info = await insist(lambda: self._stream.stream_info(self._name))
        # The first look, or the broker's stores were lost, or are those of a backup.
        if info.created != self._known.made or info.state.last_seq < before:
            self._known = _Known(info.created)
        known, last = self._known, info.state.last_seq
        if last - known.upto > max(_FEW, len(known.entries) // 2):
            loaded = await self._load()
            for key, (sequence, value) in loaded.items():
                known.take(key, sequence, value)
            for key in known.entries.keys() - loaded.keys():
                known.take(key, last, None)
        else:
            await self._catch_up(known, last)
        known.upto = max(known.upto, last)

    async def _catch_up(self, known: _Known[T], last: int) -> None:
        sequence = known.upto
        while sequence < last and (message := await self._next(sequence + 1)):
            sequence = message.seq or last
            deleted = "KV-Operation" in (message.headers or {})
            key = (message.subject or "").removeprefix(self._prefix)
            known.take(key, sequence, None if deleted else self._decode(message.data or b""))

    async def _next(self, sequence: int) -> RawStreamMsg | None:
        """The first message from a sequence on that is still kept."""
        try:
            return await insist(lambda: self._stream.get_msg(self._name, seq=sequence, subject=self._prefix + ">", next=True))
        except NotFoundError:
            return None
