"""Repositories: connect, follow, tell their state, read their bytes, forget."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from opentelemetry import trace

from nearcode.api.events.v1 import events_pb2
from nearcode.domain.address import Address
from nearcode.domain.artifact import Artifact
from nearcode.domain.errors import Conflict, NotFound
from nearcode.domain.index import ChunkIndex
from nearcode.domain.manifest import Manifest, Versioned, artifact_name, kept_names
from nearcode.domain.repository import Blob, FileStatus, FileVersion, RepositoryStatus, repository_id
from nearcode.domain.spaces import collection_key
from nearcode.ingestion.builder import Builder, BuildStores
from nearcode.ingestion.digest import digest_of
from nearcode.ingestion.filling import Filler
from nearcode.ingestion.ports import Source, Sources

_SETTLE_SECONDS = 20.0
"""How long a digest waits for a build, or for the points of retired revisions to go."""

tracer = trace.get_tracer("nearcode.ingestion")


class Ingestion:
    """The use cases of repositories. One instance may be one of several; the manifests decide between them."""

    def __init__(self, stores: BuildStores, sources: Sources, index: ChunkIndex, builder: Builder, filler: Filler) -> None:
        self._manifests, self._artifacts, self._bus = stores.manifests, stores.artifacts, stores.bus
        self._index, self.builder, self.filler = index, builder, filler
        self._open_source = sources
        self._sources: dict[str, Source] = {}

    async def connect(self, url: str, branch: str = "") -> RepositoryStatus:
        """Follows a repository from now on; again changes nothing. Raises InvalidRequest, NotFound, Unavailable."""
        address = Address.parse(url, branch)
        repository = repository_id(address.url, branch)
        manifest = Manifest(repository, address.url, address.name, branch)
        self._open_source(manifest)  # tells now, and not in a worker, that there is nothing to index
        try:
            await self._manifests.create(manifest)
        except Conflict:
            return await self.get(repository)
        await self._bus.publish(
            events_pb2.RepositoryConnected(repository=repository), message_id=f"connected-{repository}-{time.time_ns()}"
        )
        return manifest.status()

    async def list_repositories(self) -> list[RepositoryStatus]:
        """All, without their coverage: every question asks for this."""
        return [manifest.status(self.builder.progress(manifest)) for manifest in await self._manifests.all()]

    async def statuses(self) -> list[RepositoryStatus]:
        """All, with their coverage: for operators."""
        return await asyncio.gather(*map(self._status, await self._manifests.all()))

    async def get(self, repository: str) -> RepositoryStatus:
        return await self._status((await self._load(repository)).manifest)

    async def _status(self, manifest: Manifest) -> RepositoryStatus:
        return manifest.status(self.builder.progress(manifest), await self.filler.coverage(manifest))

    async def sync(self, repository: str) -> RepositoryStatus:
        """Wants the repository's present state. Returns at once; the index follows. Raises NotFound, Unavailable."""
        with tracer.start_as_current_span("sync"):
            return await self._sync(await self._load(repository))

    async def _sync(self, found: Versioned) -> RepositoryStatus:
        repository, source = found.manifest.repository, self.source(found.manifest)
        snapshot = await asyncio.to_thread(source.snapshot)
        while True:
            manifest = found.manifest
            if manifest.wanted == snapshot.commit and not manifest.error:
                return manifest.status(self.builder.progress(manifest))
            wanted = manifest.want(snapshot.commit)
            try:
                await self._manifests.update(wanted, found.version)
            except Conflict:
                found = await self._load(repository)
                continue
            await self.announce(wanted)
            return wanted.status()

    async def announce(self, manifest: Manifest) -> None:
        """Publishes the wish that a manifest holds."""
        event = events_pb2.RevisionWanted(
            repository=manifest.repository, generation=manifest.generation, commit=manifest.wanted
        )
        await self._bus.publish(event, message_id=f"wanted-{artifact_name(manifest)}")

    async def resume(self) -> None:
        """At start: says again what is wanted and not yet served, for a crash between the manifest and its event."""
        for manifest in await self._manifests.all():
            if manifest.generation and not manifest.up_to_date:
                await self.announce(manifest)

    async def want_fills(self) -> None:
        """Wants every collection that is filled behind to follow what is served."""
        for manifest in await self._manifests.all():
            await self.filler.want(manifest.repository)

    async def disconnect(self, repository: str) -> None:
        """Deletes everything kept of a repository. Raises NotFound, Unavailable."""
        manifest = (await self._load(repository)).manifest
        await self._manifests.delete(repository)
        await self._index.drop(repository)
        for collection in await self._manifests.fills(repository):
            await self.filler.forget(repository, collection)
        for name in kept_names(manifest):
            await self._artifacts.delete(name)
        await self._bus.publish(
            events_pb2.RepositoryDisconnected(repository=repository),
            message_id=f"disconnected-{artifact_name(manifest)}",
        )

    async def list_files(self, repository: str) -> list[FileStatus]:
        """Every file of the served revision with its state and reason, ordered by path."""
        manifest = (await self._load(repository)).manifest
        if not manifest.served:
            return []
        data = await self._artifacts.get(manifest.served.artifact)
        return await asyncio.to_thread(lambda: Artifact.load(data).files())

    async def digest(self, repository: str) -> dict[str, str]:
        """The digest of the stored points, per index space. Raises Conflict while a revision is built."""
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        while not (await self._load(repository)).manifest.settled:
            if asyncio.get_running_loop().time() > deadline:
                raise Conflict("a revision is being built: what is stored now belongs to none")
            await asyncio.sleep(0.02)
        return {self._index.space.name: await digest_of(self._index, repository)} | await self._filled(repository)

    async def _filled(self, repository: str) -> dict[str, str]:
        """The digests of collections that hold all that is served."""
        manifest = (await self._load(repository)).manifest
        whole = [one for one in await self.filler.coverage(manifest) if one.ratio == 1.0 and one.role == "active"]
        return {
            one.space: await digest_of(await self.filler.open_index(collection_key(one.space, one.profile)), repository)
            for one in whole
        }

    async def read(self, repository: str, files: Sequence[FileVersion]) -> AsyncIterator[Blob]:
        """The bytes of file versions, in the order asked."""
        source = self.source((await self._load(repository)).manifest)
        for blob in await asyncio.to_thread(lambda: list(source.read(files))):
            yield blob

    def source(self, manifest: Manifest) -> Source:
        """The opened source of a repository, kept for what it remembers."""
        if manifest.repository not in self._sources:
            self._sources[manifest.repository] = self._open_source(manifest)
        return self._sources[manifest.repository]

    async def want_failed(self, repository: str, generation: int, error: str, fills: str = "") -> None:
        """Records that a revision cannot be built, or a collection not filled."""
        found = await self._manifests.get(repository, fills)
        if found and found.manifest.generation == generation:
            await self._manifests.update(replace(found.manifest, error=error), found.version)

    async def _load(self, repository: str) -> Versioned:
        found = await self._manifests.get(repository)
        if found is None:
            raise NotFound("no such repository, or none that you may read")
        return found
