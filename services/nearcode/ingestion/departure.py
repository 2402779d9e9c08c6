"""Forgetting a repository: everything kept of it goes, its manifest last, so that what a crash left is found and goes, too."""

import asyncio
from dataclasses import dataclass

from nearcode.api.events.v1 import events_pb2
from nearcode.domain.backlog import Queues
from nearcode.domain.errors import Conflict, NotFound
from nearcode.domain.index import ChunkIndex
from nearcode.domain.manifest import Manifest, artifact_name
from nearcode.ingestion.builder import BuildStores
from nearcode.ingestion.filling import Filler, forget_artifacts
from nearcode.ingestion.ports import Sources


@dataclass(frozen=True, slots=True)
class Departure:
    """Every step may run again. Not for several processes at once with one that connects the same repository anew."""

    stores: BuildStores
    sources: Sources
    index: ChunkIndex
    filler: Filler
    queues: Queues

    async def begin(self, repository: str) -> Manifest:
        """From now on nothing of it is served, and whoever works on it stops. Raises NotFound, Unavailable."""
        while True:
            found = await self.stores.manifests.get(repository)
            if found is None:
                raise NotFound("no such repository, or none that you may read")
            if found.manifest.leaving:
                return found.manifest
            leaving = found.manifest.leave()
            try:
                await self.stores.manifests.update(leaving, found.version)
            except Conflict:
                continue
            return leaving

    async def finish(self, manifest: Manifest) -> None:
        """Deletes what is kept, of a manifest that is leaving. Raises Unavailable."""
        repository, stores = manifest.repository, self.stores
        await asyncio.to_thread(self.sources.forget, manifest)
        for collection in await stores.manifests.fills(repository):
            await self.filler.forget(repository, collection)
        await forget_artifacts(stores, manifest)
        # Late: a worker that looked at the manifest before it was leaving may just have written or sent something.
        await self.index.drop(repository)
        await self.queues.purge(repository)
        event = events_pb2.RepositoryDisconnected(repository=repository)
        await stores.bus.publish(event, message_id=f"disconnected-{artifact_name(manifest)}")
        await stores.manifests.delete(repository)
