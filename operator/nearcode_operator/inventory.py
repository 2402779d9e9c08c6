"""Objects of one kind as they are known: listed once, then as the watch and our own calls tell them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from nearcode.telemetry.log import get_logger

from nearcode_operator.model import Key
from nearcode_operator.ports import Listing, Manifest

T = TypeVar("T")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    version: int
    uid: str
    value: T


class Inventory(Generic[T]):
    """The newest version of each object. A watch may miss something (a deletion while it was cut off), so everything is listed
    anew every `seconds`. `read` makes of an object what is kept of it; None: it is not ours."""

    def __init__(
        self,
        listing: Callable[[], Awaitable[Listing]],
        read: Callable[[Manifest], T | None],
        seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list, self._read, self._seconds, self._clock = listing, read, seconds, clock
        self._entries: dict[Key, _Entry[T]] = {}
        self._gone: dict[Key, tuple[str, int]] = {}
        self._listed: float | None = None
        self._listing = asyncio.Lock()
        self.missed = 0
        """Objects that the last listing knew better than the watch."""

    async def all(self) -> Mapping[Key, T]:
        """All of them: never fewer than there were when they were listed. Raises what the listing raises."""
        async with self._listing:
            if self._listed is None or self._clock() - self._listed >= self._seconds:
                await self._relist()
        return {key: entry.value for key, entry in self._entries.items()}

    def get(self, key: Key) -> T | None:
        """One of them, as it is known now."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def put(self, manifest: Manifest) -> bool:
        """An object as it was at some moment. Whether that was news."""
        key, version, uid = key_of(manifest), _version(manifest), manifest["metadata"].get("uid", "")
        known, gone = self._entries.get(key), self._gone.get(key)
        if (known and version <= known.version) or (gone and (gone[0] == uid or version <= gone[1])):
            return False
        value = self._read(manifest)
        if value is not None:
            self._entries[key] = _Entry(version, uid, value)
        return value is not None

    def remove(self, manifest: Manifest) -> None:
        """An object that is gone."""
        key, uid = key_of(manifest), manifest["metadata"].get("uid", "")
        known = self._entries.get(key)
        self._gone[key] = uid, _version(manifest)
        if known and known.uid == uid:
            del self._entries[key]

    def forget(self, key: Key) -> None:
        """An object that we found to be gone."""
        self._entries.pop(key, None)

    def doubt(self) -> None:
        """What is known was seen to be wrong: everything is listed anew before it is used again."""
        self._listed = None

    async def _relist(self) -> None:
        began, first = self._clock(), self._listed is None and not self._entries
        self._gone.clear()
        found = await self._list()
        listed = {key_of(item) for item in found.items}
        at = _number(found.version)
        stale = [key for key, entry in self._entries.items() if key not in listed and entry.version <= at]
        for key in stale:
            del self._entries[key]
        news = sum(self.put(item) for item in found.items) + len(stale)
        self._listed = began
        self.missed = 0 if first else news
        if self.missed:
            log.warning("the watch had missed changes", objects=self.missed)


def key_of(manifest: Manifest) -> Key:
    """What an object is called."""
    return Key(manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])


def _version(manifest: Manifest) -> int:
    return _number(manifest["metadata"].get("resourceVersion", ""))


def _number(version: str) -> int:
    """Kubernetes' resource versions grow, and may be compared as numbers (KEP-5504)."""
    return int(version) if version.isdigit() else 0
