"""JetStream key-value and object stores: manifests, builds and revision artifacts."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.errors import NotFoundError as NatsNotFoundError
from nats.js.kv import KeyValue
from nats.js.object_store import ObjectStore

from nearcode.adapters.jetstream_errors import TIMEOUT, insist, nats_errors
from nearcode.adapters.jetstream_known import KnownEntries
from nearcode.domain.errors import Conflict, NotFound, Reason, Unavailable
from nearcode.domain.manifest import Manifest, Versioned, manifest_key
from nearcode.events import topology

T = TypeVar("T")

_OBJECTS = f"OBJ_{topology.OBJECTS}"
_AT_ONCE = 256
"""Entries asked for at once."""


def bucket(client: Client, name: str) -> KeyValue:
    """A key-value bucket of the topology. Read from the stream's leader: a follower may not have yet what was just written."""
    return KeyValue(name, f"KV_{name}", f"$KV.{name}.", client.jetstream(timeout=TIMEOUT), direct=False)


class ComparedBucket:
    """A bucket whose entries are moved by compare-and-set only."""

    def __init__(self, client: Client, name: str) -> None:
        self._kv = bucket(client, name)

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """An entry with the version that the next update must name."""
        try:
            entry = await insist(lambda: self._kv.get(key))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        return entry.value or b"", entry.revision or 0

    async def create(self, key: str, value: bytes, conflict: str) -> None:
        """Raises Conflict, in these words, if there is one."""
        with nats_errors():
            try:
                await self._kv.create(key, value)
            except KeyWrongLastSequenceError as error:
                raise Conflict(conflict) from error

    async def update(self, key: str, value: bytes, version: int, conflict: str) -> int:
        """The new version. Raises Conflict, in these words, and Unavailable when nobody knows whether it was stored: read the
        entry again, then decide."""
        with nats_errors():
            try:
                return await self._kv.update(key, value, last=version)
            except KeyWrongLastSequenceError as error:
                raise Conflict(conflict) from error

    async def delete(self, key: str) -> None:
        await insist(lambda: self._kv.purge(key))


async def _some_at_once(ask: Callable[[str], Awaitable[T]], keys: Sequence[str]) -> list[T]:
    """The answers for all keys, in their order."""
    found: list[T] = []
    for first in range(0, len(keys), _AT_ONCE):
        found += await asyncio.gather(*map(ask, keys[first : first + _AT_ONCE]))
    return found


async def _keys(client: Client, name: str, prefix: str) -> list[str]:
    """The keys of a bucket that begin with `prefix`, without it; those of deleted entries among them."""
    subjects, stream = f"$KV.{name}.{prefix}", client.jetstream(timeout=TIMEOUT)
    info = await insist(lambda: stream.stream_info(f"KV_{name}", subjects_filter=subjects + ">"))
    return [found.removeprefix(subjects) for found in info.state.subjects or {}]


class KvManifests:
    """Manifests in a key-value bucket, moved by compare-and-set only. `alone`: nobody writes them but this object."""

    def __init__(self, client: Client, *, alone: bool = False) -> None:
        self._client, self._entries = client, ComparedBucket(client, topology.MANIFESTS)
        self._known = KnownEntries(client, topology.MANIFESTS, _decode, self._everything, alone=alone)

    async def get(self, repository: str, fills: str = "") -> Versioned | None:
        return await self._get(manifest_key(repository, fills))

    async def _get(self, key: str) -> Versioned | None:
        found = await self._entries.get(key)
        return Versioned(_decode(found[0]), found[1]) if found else None

    async def create(self, manifest: Manifest) -> None:
        with self._known.writing():
            await self._entries.create(manifest.key, _encode(manifest), f"{manifest.name} is connected already")

    async def update(self, manifest: Manifest, version: int) -> int:
        with self._known.writing():
            return await self._entries.update(manifest.key, _encode(manifest), version, f"{manifest.name} changed meanwhile")

    async def delete(self, repository: str, fills: str = "") -> None:
        with self._known.writing():
            await self._entries.delete(manifest_key(repository, fills))

    async def all(self) -> list[Manifest]:
        """Ordered by name. Not by a watcher: the client's may say that it is done before the last entry has come."""
        found = await self._known.all()
        return sorted((each for each in found.values() if not each.fills), key=lambda manifest: manifest.name)

    async def filled(self) -> list[Manifest]:
        return [each for each in (await self._known.all()).values() if each.fills]

    async def _everything(self) -> dict[str, tuple[int, Manifest]]:
        found = await _some_at_once(self._get, await _keys(self._client, topology.MANIFESTS, ""))
        return {each.manifest.key: (each.version, each.manifest) for each in found if each}

    async def fills(self, repository: str) -> list[str]:
        """The collections that were filled for a repository, also those that nobody fills any more."""
        collections = await _keys(self._client, topology.MANIFESTS, f"{repository}.")
        return [each for each in sorted(collections) if await self.get(repository, each)]


class KvBuilds:
    """What became of each batch of a build: keys `repository.generation.part.batch.batches`."""

    def __init__(self, client: Client) -> None:
        self._client, self._kv = client, bucket(client, topology.BUILDS)

    async def put(self, build: str, batch: str, outcome: bytes) -> None:
        """Stores the outcome of a batch; the same batch twice is stored once."""
        await insist(lambda: self._kv.put(f"{build}.{batch}", outcome))

    async def batches(self, build: str) -> set[str]:
        """Names of the batches that are in."""
        return set(await _keys(self._client, topology.BUILDS, f"{build}."))

    async def outcomes(self, build: str, batches: Sequence[str]) -> list[bytes]:
        """The outcomes of batches, in their order."""
        return await _some_at_once(self._outcome, [f"{build}.{name}" for name in batches])

    async def _outcome(self, key: str) -> bytes:
        return (await insist(lambda: self._kv.get(key))).value or b""

    async def forget(self, build: str) -> None:
        stream = self._client.jetstream(timeout=TIMEOUT)
        await insist(lambda: stream.purge_stream("KV_builds", subject=f"$KV.builds.{build}.>"))


class ObjectArtifacts:
    """Revision artifacts in an object store."""

    def __init__(self, client: Client) -> None:
        self._stream = _Patient(client, timeout=TIMEOUT)
        self._store = ObjectStore(topology.OBJECTS, _OBJECTS, self._stream)

    async def put(self, name: str, data: bytes) -> None:
        """Stores an artifact. One that was there before is replaced when the new one is whole."""
        with nats_errors():
            await self._store.put(name, data)

    async def get(self, name: str) -> bytes:
        """Raises NotFound. Asks for each piece: the client's own way waits for ever where a server dies meanwhile."""
        try:
            info = await insist(lambda: self._store.get_info(name))
            pieces, place = [], 1
            for _ in range(info.chunks or 0):
                piece, place = await self._piece(f"$O.{topology.OBJECTS}.C.{info.nuid}", place)
                pieces.append(piece)
        except NatsNotFoundError as error:
            raise NotFound(f"no artifact {name}") from error
        data = b"".join(pieces)
        if info.digest != f"SHA-256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()}":
            raise Unavailable(f"artifact {name} is damaged: index the repository again", Reason.EVENTS_UNAVAILABLE)
        return data

    async def delete(self, name: str) -> None:
        """Deletes an artifact, if it is there."""
        with nats_errors():
            try:
                await self._store.delete(name)
            except NatsNotFoundError:
                return

    async def _piece(self, subject: str, place: int) -> tuple[bytes, int]:
        """The first piece from a sequence on, and the sequence after it."""
        found = await insist(lambda: self._stream.get_msg(_OBJECTS, seq=place, subject=subject, next=True))
        return found.data or b"", (found.seq or 0) + 1


class _Patient(JetStreamContext):
    """Publishes again while a stream has no leader: what an object store publishes is the same twice as once."""

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float | None = None,
        stream: str | None = None,
        headers: dict[str, Any] | None = None,
        msg_ttl: float | None = None,
    ) -> PubAck:
        named = {**(headers or {}), "Nats-Msg-Id": secrets.token_hex(12)}
        send = super().publish
        return await insist(lambda: send(subject, payload, timeout, stream, named, msg_ttl))


def _encode(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), sort_keys=True).encode()


def _decode(data: bytes) -> Manifest:
    return Manifest.load(json.loads(data))
