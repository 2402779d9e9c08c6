"""JetStream key-value and object stores: manifests, builds and revision artifacts."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from nats.aio.client import Client
from nats.js.api import KeyValueConfig, ObjectStoreConfig, StorageType
from nats.js.errors import (
    BucketNotFoundError,
    KeyDeletedError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    ObjectNotFoundError,
)
from nats.js.errors import NotFoundError as NatsNotFoundError
from nats.js.kv import KeyValue
from nats.js.object_store import ObjectStore

from nearcode.adapters.jetstream import TIMEOUT, nats_errors
from nearcode.domain.errors import Conflict, NotFound
from nearcode.domain.manifest import Manifest, Versioned, manifest_key
from nearcode.events import topology


async def open_bucket(client: Client, name: str) -> KeyValue:
    """A key-value bucket of the topology, made if it is missing."""
    stream = client.jetstream(timeout=TIMEOUT)
    with nats_errors():
        try:
            return await stream.key_value(name)
        except BucketNotFoundError:
            return await stream.create_key_value(KeyValueConfig(bucket=name, storage=StorageType.FILE))


async def _keys(client: Client, bucket: str, prefix: str) -> list[str]:
    """The keys of a bucket that begin with `prefix`, without it; those of deleted entries among them."""
    subjects = f"$KV.{bucket}.{prefix}"
    with nats_errors():
        info = await client.jetstream(timeout=TIMEOUT).stream_info(f"KV_{bucket}", subjects_filter=subjects + ">")
    return [name.removeprefix(subjects) for name in info.state.subjects or {}]


class KvManifests:
    """Manifests in a key-value bucket, moved by compare-and-set only."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kv: KeyValue | None = None

    async def _open(self) -> KeyValue:
        if self._kv is None:
            self._kv = await open_bucket(self._client, topology.MANIFESTS)
        return self._kv

    async def get(self, repository: str, fills: str = "") -> Versioned | None:
        return await self._get(manifest_key(repository, fills))

    async def _get(self, key: str) -> Versioned | None:
        kv = await self._open()
        with nats_errors():
            try:
                entry = await kv.get(key)
            except (KeyNotFoundError, KeyDeletedError):
                return None
        return Versioned(_decode(entry.value or b""), entry.revision or 0)

    async def create(self, manifest: Manifest) -> None:
        kv = await self._open()
        with nats_errors():
            try:
                await kv.create(manifest.key, _encode(manifest))
            except KeyWrongLastSequenceError as error:
                raise Conflict(f"{manifest.name} is connected already") from error

    async def update(self, manifest: Manifest, version: int) -> int:
        kv = await self._open()
        with nats_errors():
            try:
                return await kv.update(manifest.key, _encode(manifest), last=version)
            except KeyWrongLastSequenceError as error:
                raise Conflict(f"{manifest.name} changed meanwhile") from error

    async def delete(self, repository: str, fills: str = "") -> None:
        kv = await self._open()
        with nats_errors():
            await kv.purge(manifest_key(repository, fills))

    async def all(self) -> list[Manifest]:
        """Ordered by name. Not by a watcher: the client's may say that it is done before the last entry has come."""
        await self._open()
        found = await asyncio.gather(*(self._get(key) for key in await _keys(self._client, topology.MANIFESTS, "") if "." not in key))
        return sorted((each.manifest for each in found if each), key=lambda manifest: manifest.name)


class KvBuilds:
    """What became of each batch of a build: keys `repository.generation.part.batch.batches`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kv: KeyValue | None = None

    async def _open(self) -> KeyValue:
        if self._kv is None:
            self._kv = await open_bucket(self._client, topology.BUILDS)
        return self._kv

    async def put(self, build: str, batch: str, outcome: bytes) -> None:
        """Stores the outcome of a batch; the same batch twice is stored once."""
        kv = await self._open()
        with nats_errors():
            await kv.put(f"{build}.{batch}", outcome)

    async def batches(self, build: str) -> set[str]:
        """Names of the batches that are in."""
        await self._open()
        return set(await _keys(self._client, topology.BUILDS, f"{build}."))

    async def outcomes(self, build: str, batches: Sequence[str]) -> list[bytes]:
        """The outcomes of batches, in their order."""
        kv = await self._open()
        with nats_errors():
            entries = await asyncio.gather(*(kv.get(f"{build}.{name}") for name in batches))
        return [entry.value or b"" for entry in entries]

    async def forget(self, build: str) -> None:
        await self._open()
        with nats_errors():
            await self._client.jetstream(timeout=TIMEOUT).purge_stream("KV_builds", subject=f"$KV.builds.{build}.>")


class ObjectArtifacts:
    """Revision artifacts in an object store."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store: ObjectStore | None = None

    async def _open(self) -> ObjectStore:
        if self._store is None:
            stream = self._client.jetstream(timeout=TIMEOUT)
            with nats_errors():
                try:
                    self._store = await stream.object_store(topology.OBJECTS)
                except (BucketNotFoundError, NatsNotFoundError):
                    self._store = await stream.create_object_store(
                        topology.OBJECTS, ObjectStoreConfig(bucket=topology.OBJECTS, storage=StorageType.FILE)
                    )
        return self._store

    async def put(self, name: str, data: bytes) -> None:
        store = await self._open()
        with nats_errors():
            await store.put(name, data)

    async def get(self, name: str) -> bytes:
        """Raises NotFound."""
        store = await self._open()
        with nats_errors():
            try:
                return (await store.get(name)).data or b""
            except (ObjectNotFoundError, NatsNotFoundError) as error:
                raise NotFound(f"no artifact {name}") from error

    async def delete(self, name: str) -> None:
        """Deletes an artifact, if it is there."""
        store = await self._open()
        with nats_errors():
            try:
                await store.delete(name)
            except (ObjectNotFoundError, NatsNotFoundError):
                return


def _encode(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), sort_keys=True).encode()


def _decode(data: bytes) -> Manifest:
    return Manifest.load(json.loads(data))
