"""Repositories: connect, follow, tell their state, read their bytes, forget."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import repeat

from opentelemetry import trace

from nearcode.api.events.v1 import events_pb2
from nearcode.domain.address import Address
from nearcode.domain.artifact import Artifact
from nearcode.domain.backlog import Backlog, Queues
from nearcode.domain.chunk import recipe
from nearcode.domain.errors import Conflict, NotFound, Unavailable
from nearcode.domain.index import ChunkIndex
from nearcode.domain.manifest import Manifest, Versioned, artifact_name
from nearcode.domain.policy import EVERYTHING, IndexPolicy
from nearcode.domain.repository import Blob, FileStatus, FileVersion, RepositoryStatus, repository_id
from nearcode.domain.spaces import collection_key
from nearcode.ingestion.builder import Builder, BuildStores
from nearcode.ingestion.departure import Departure
from nearcode.ingestion.digest import digest_of
from nearcode.ingestion.filling import Filler
from nearcode.ingestion.ports import Source, Sources
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

_SETTLE_SECONDS = 20.0
"""How long a digest waits for a build, or for the points of retired revisions to go."""

tracer = trace.get_tracer("nearcode.ingestion")


class Ingestion:
    """The use cases of repositories. One instance may be one of several; the manifests decide between them."""

    def __init__(
        self, stores: BuildStores, sources: Sources, index: ChunkIndex, builder: Builder, filler: Filler, queues: Queues
    ) -> None:
        self._manifests, self._artifacts, self._bus = stores.manifests, stores.artifacts, stores.bus
        self._index, self.builder, self.filler = index, builder, filler
        self._recipe = recipe(index.space.collection, index.identity)
        self._open_source, self._queues = sources, queues
        self._departure = Departure(stores, sources, index, filler, queues)
        self._sources: dict[str, tuple[IndexPolicy, Source]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unsaid: set[str] = set()

    async def connect(self, url: str, branch: str = "", policy: IndexPolicy | None = None) -> RepositoryStatus:
        """Follows a repository from now on, under a policy; again changes nothing but the policy, if one is given.

        Raises InvalidRequest, NotFound, Unavailable."""
        address = Address.parse(url, branch)
        repository = repository_id(address.url, branch)
        manifest = Manifest(repository, address.url, address.name, branch, policy=policy or EVERYTHING)
        self._open_source(manifest)  # tells now, and not in a worker, that there is nothing to index, or no such pattern
        async with self._turns[repository]:
            await self._finish_departure(repository)
            try:
                await self._manifests.create(manifest)
            except Conflict:
                return await self._follow(repository, policy)
            await self._bus.publish(
                events_pb2.RepositoryConnected(repository=repository), message_id=f"connected-{repository}-{time.time_ns()}"
            )
        return manifest.status()

    async def _follow(self, repository: str, policy: IndexPolicy | None) -> RepositoryStatus:
        """A repository that is connected, under another policy from now on. The files of the wanted commit that this selects
        are wanted anew; what the policy says of index spaces needs no other revision."""
        if policy is None:
            return await self.get(repository)
        while True:
            found = await self._staying(repository)
            changed = found.manifest.follow(policy)
            if changed != found.manifest:
                try:
                    await self._manifests.update(changed, found.version)
                except Conflict:
                    continue  # a revision was wanted or served in this moment: the policy is put on top of that
            break
        await self._say(changed, new=changed.generation != found.manifest.generation)
        await self.filler.want(repository)
        return await self._status(changed)

    async def list_repositories(self, coverage: bool = False) -> list[RepositoryStatus]:
        """All, ordered by name. Without their coverage, for every question asks for this; with it for operators."""
        manifests = await self._manifests.all()
        covered = await self.filler.coverages(manifests) if coverage else repeat(())
        return [
            manifest.status(self.builder.progress(manifest), coverage)
            for manifest, coverage in zip(manifests, covered, strict=False)
        ]

    async def backlog(self) -> Backlog:
        """How much work waits. Raises Unavailable."""
        return await self._queues.backlog()

    async def get(self, repository: str) -> RepositoryStatus:
        return await self._status((await self._load(repository)).manifest)

    async def _status(self, manifest: Manifest) -> RepositoryStatus:
        return manifest.status(self.builder.progress(manifest), await self.filler.coverage(manifest))

    async def sync(self, repository: str) -> RepositoryStatus:
        """Wants the repository's present state. Returns at once; the index follows. Raises NotFound, Unavailable."""
        with tracer.start_as_current_span("sync"):
            return await self._sync(await self._staying(repository))

    async def _sync(self, found: Versioned) -> RepositoryStatus:
        repository, source = found.manifest.repository, self.source(found.manifest)
        snapshot = await asyncio.to_thread(source.snapshot)
        while True:
            manifest = found.manifest
            if (manifest.wanted, manifest.recipe, manifest.error) == (snapshot.commit, self._recipe, ""):
                await self._say(manifest)
                return manifest.status(self.builder.progress(manifest))
            wanted = manifest.want(snapshot.commit, self._recipe)
            try:
                await self._manifests.update(wanted, found.version)
            except Conflict:
                found = await self._staying(repository)
                continue
            await self._say(wanted, new=True)
            return wanted.status()

    async def _say(self, manifest: Manifest, new: bool = False) -> None:
        """Announces a wish that is new, or that could not be announced when it was: the broker was away just then."""
        if new:
            self._unsaid.add(manifest.repository)
        if manifest.repository in self._unsaid:
            await self.announce(manifest)
            self._unsaid.discard(manifest.repository)

    async def announce(self, manifest: Manifest) -> None:
        """Publishes the wish that a manifest holds."""
        event = events_pb2.RevisionWanted(
            repository=manifest.repository, generation=manifest.generation, commit=manifest.wanted
        )
        await self._bus.publish(event, message_id=f"wanted-{artifact_name(manifest)}")

    async def resume(self) -> None:
        """At start: says again what is wanted and not yet served, for a crash between the manifest and its event; wants anew
        what another recipe made; and goes on with what was being disconnected."""
        for manifest in await self._manifests.all():
            if manifest.leaving:
                await self._resume_departure(manifest)
            elif manifest.generation and manifest.recipe != self._recipe:
                await self._remake(manifest.repository)
            elif manifest.generation and not manifest.up_to_date:
                await self.announce(manifest)

    async def _remake(self, repository: str) -> None:
        """Wants the same commit by this program's recipe."""
        while (found := await self._manifests.get(repository)) and found.manifest.recipe != self._recipe:
            wanted = found.manifest.want(found.manifest.wanted, self._recipe)
            try:
                await self._manifests.update(wanted, found.version)
            except Conflict:
                continue  # another process was faster
            log.info("is indexed anew: another version made its index", repository=repository, was=found.manifest.recipe)
            await self._say(wanted, new=True)

    async def want_fills(self) -> None:
        """Wants every collection that is filled behind to follow what is served."""
        for manifest in await self._manifests.all():
            await self.filler.want(manifest.repository)

    async def disconnect(self, repository: str) -> None:
        """Deletes everything kept of a repository; after a failure half way, once more does the rest.

        Raises NotFound, Unavailable."""
        async with self._turns[repository]:
            await self._departure.begin(repository)
            await self._finish_departure(repository)

    async def _finish_departure(self, repository: str) -> None:
        """Of a repository that is leaving; it can be connected once more only when nothing of it is left."""
        found = await self._manifests.get(repository)
        if found and found.manifest.leaving:
            self._sources.pop(repository, None)
            await self._departure.finish(found.manifest)

    async def _resume_departure(self, manifest: Manifest) -> None:
        try:
            async with self._turns[manifest.repository]:
                await self._finish_departure(manifest.repository)
        except Unavailable as error:
            log.warning("a repository is not disconnected yet", repository=manifest.repository, error=error.message)

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
        source = self.source((await self._staying(repository)).manifest)
        for blob in await asyncio.to_thread(lambda: list(source.read(files))):
            yield blob

    def source(self, manifest: Manifest) -> Source:
        """The opened source of a repository under its policy, kept for what it remembers."""
        known = self._sources.get(manifest.repository)
        if not known or known[0].selection != manifest.policy.selection:
            known = self._sources[manifest.repository] = manifest.policy, self._open_source(manifest)
        return known[1]

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

    async def _staying(self, repository: str) -> Versioned:
        """Raises Conflict for one that is being disconnected."""
        found = await self._load(repository)
        if found.manifest.leaving:
            raise Conflict(f"{found.manifest.name} is being disconnected: connect it once more, and all of it is indexed anew")
        return found
