"""Filling collections behind what is served: one builder for each, whose source is the served revision."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nearcode.api.events.v1 import events_pb2
from nearcode.domain.artifact import Artifact, Snapshot
from nearcode.domain.chunk import recipe
from nearcode.domain.errors import Conflict, NotFound
from nearcode.domain.index import ChunkIndex
from nearcode.domain.manifest import Manifest, artifact_name, kept_names, manifest_key
from nearcode.domain.spaces import Coverage, collection_key
from nearcode.ingestion.builder import Builder, BuildStores
from nearcode.ingestion.settings import IngestionSettings


@dataclass(frozen=True, slots=True)
class Fill:
    """A collection to keep up to date behind what is served. `role` is active, building or previous."""

    space: str
    profile: str
    role: str

    @property
    def collection(self) -> str:
        return collection_key(self.space, self.profile)


@dataclass(frozen=True, slots=True)
class ServedFiles:
    """The files of a served revision, as a fill plans from them; their bytes are read from the repository's own source."""

    artifact: bytes

    def snapshot(self, commit: str = "") -> Snapshot:
        """The indexed files. `commit` is the artifact's name."""
        return Snapshot(commit, tuple(Artifact.load(self.artifact).indexed_versions()), ())


@dataclass(slots=True)
class Filler:
    """Wishes, builds and tells of the collections that `fills` names at the time."""

    stores: BuildStores
    fills: Callable[[], Awaitable[Sequence[Fill]]]
    open_index: Callable[[str], Awaitable[ChunkIndex]]
    settings: IngestionSettings
    _builders: dict[str, Builder] = field(default_factory=dict)
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def want(self, repository: str) -> None:
        """Wants the served revision in every collection that the repository's policy names, and nothing of it in the others.
        One that is about to be made anew is not followed: collections keep what they hold until then. Again changes nothing.
        Raises Unavailable."""
        async with self._turns[repository]:
            found = await self.stores.manifests.get(repository)
            for fill in await self.fills() if found else ():
                assert found
                if not found.manifest.policy.wants(fill.space):
                    await self._forget(repository, fill.collection)
                elif found.manifest.one_recipe:
                    await self._want(found.manifest, fill.collection)

    async def build(self, event: events_pb2.FillWanted) -> None:
        """Plans a fill and publishes its parts. A wish that is not the newest is dropped."""
        found = await self.stores.manifests.get(event.repository, event.collection)
        if not found or found.manifest.generation != event.generation:
            return
        try:
            served = await self.stores.artifacts.get(found.manifest.wanted)
        except NotFound:
            return  # the next revision is served already, and wished for here
        builder = await self._builder(event.collection)
        await builder.start(event, lambda _: ServedFiles(served))

    async def take(self, event: events_pb2.BatchIndexed) -> None:
        """Records what became of a batch."""
        await (await self._builder(event.build.collection)).take(event)

    async def coverage(self, manifest: Manifest) -> list[Coverage]:
        """How far each collection follows a repository."""
        fills = await self._fills_of(manifest)
        found = [await self.stores.manifests.get(manifest.repository, fill.collection) for fill in fills]
        filled = {each.manifest.key: each.manifest for each in found if each}
        return [await self._coverage(manifest, fill, filled) for fill in fills]

    async def coverages(self, manifests: Sequence[Manifest]) -> list[list[Coverage]]:
        """The same of many repositories, in their order: the store is asked once."""
        filled = {each.key: each for each in await self.stores.manifests.filled()}
        return [
            [await self._coverage(manifest, fill, filled) for fill in await self._fills_of(manifest)] for manifest in manifests
        ]

    async def forget(self, repository: str, collection: str) -> None:
        """Deletes what a collection holds of a repository. Again changes nothing. Raises Unavailable."""
        async with self._turns[repository]:
            await self._forget(repository, collection)

    async def _forget(self, repository: str, collection: str) -> None:
        """The manifest goes last: what a crash left is found and deleted the next time."""
        manifests = self.stores.manifests
        while (found := await manifests.get(repository, collection)) and not found.manifest.leaving:
            try:
                await manifests.update(found.manifest.leave(), found.version)
            except Conflict:
                continue  # a batch was taken in this moment
        if found:
            await forget_artifacts(self.stores, found.manifest)
            await (await self.open_index(collection)).drop(repository)
            await manifests.delete(repository, collection)

    async def _fills_of(self, manifest: Manifest) -> list[Fill]:
        return [fill for fill in await self.fills() if manifest.policy.wants(fill.space)]

    async def _want(self, manifest: Manifest, collection: str) -> None:
        assert manifest.served
        wish = await self._wish(manifest, manifest.served.artifact, collection)
        if not wish.settled:
            event = events_pb2.FillWanted(repository=wish.repository, collection=collection, generation=wish.generation)
            await self.stores.bus.publish(event, message_id=f"fill-{artifact_name(wish)}")

    async def _wish(self, manifest: Manifest, artifact: str, collection: str) -> Manifest:
        """The collection's manifest, with the artifact as its wish."""
        manifests, index = self.stores.manifests, await self.open_index(collection)
        made = recipe(collection, index.identity)
        while True:
            found = await manifests.get(manifest.repository, collection)
            if found and (found.manifest.wanted, found.manifest.recipe, found.manifest.error) == (artifact, made, ""):
                return found.manifest
            try:
                if found:
                    wish = found.manifest.want(artifact, made)
                    await manifests.update(wish, found.version)
                else:
                    bare = Manifest(manifest.repository, manifest.url, manifest.name, manifest.branch, fills=collection)
                    wish = bare.want(artifact, made)
                    await manifests.create(wish)
            except Conflict:
                continue  # another replica was faster
            return wish

    async def _coverage(self, manifest: Manifest, fill: Fill, filled: Mapping[str, Manifest]) -> Coverage:
        """`filled`: the manifests of collections by their key."""
        total = manifest.served.files if manifest.served else 0
        found = filled.get(manifest_key(manifest.repository, fill.collection))
        done, error = 0, ""
        if found and manifest.served:
            error = found.error
            if found.up_to_date and found.wanted == manifest.served.artifact:
                done = total
            else:
                progress = (await self._builder(fill.collection)).progress(found)
                done = total - (progress.files_total - progress.files_done) if progress.files_total else 0
        return Coverage(fill.space, fill.profile, fill.role, max(0, min(done, total)), total, error)

    async def _builder(self, collection: str) -> Builder:
        if collection not in self._builders:
            index = await self.open_index(collection)
            self._builders[collection] = Builder(self.stores, index, self.settings, fills=True)
        return self._builders[collection]


async def forget_artifacts(stores: BuildStores, manifest: Manifest) -> None:
    """Deletes every artifact that is kept for a manifest, and the records of its builds. Raises Unavailable."""
    for name in kept_names(manifest):
        await stores.artifacts.delete(name)
        await stores.builds.forget(name.removesuffix(".draft"))
