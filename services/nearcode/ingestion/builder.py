"""Building a revision: plan it, publish its parts, gather what became of them, serve it, clean up behind.

Every step may run again: after a crash the broker delivers its event once more. A collection that is filled behind what is
served is built in the same steps: its source is the served revision, and nobody waits for it.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from nearcode.api.events.v1 import events_pb2
from nearcode.domain.artifact import Artifact, FileOutcome, parts
from nearcode.domain.errors import Conflict, NotFound
from nearcode.domain.graph import split_links
from nearcode.domain.index import ChunkIndex
from nearcode.domain.manifest import Manifest, Manifests, Served, Versioned, artifact_name, draft_name
from nearcode.domain.repository import CHANGED_MEANWHILE, FileVersion, Progress
from nearcode.events.bus import Bus, queue_of
from nearcode.ingestion.ports import Artifacts, Builds, Snapshots
from nearcode.ingestion.settings import IngestionSettings
from nearcode.runtime.wire import state_from_proto, version_from_proto, version_to_proto
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)


@dataclass(slots=True)
class _Building:
    """What one process remembers of a build, to save questions to the store."""

    parts: int
    files_total: int
    files_done: int = 0
    chunks_done: int = 0


@dataclass(frozen=True, slots=True)
class BuildStores:
    """What every builder works with."""

    manifests: Manifests
    artifacts: Artifacts
    builds: Builds
    bus: Bus


async def _nobody(repository: str) -> None:
    """Nobody wants to hear."""


class Builder:
    """Turns the wish for a revision into a served revision, with its points in `index`. `fills`: it fills that collection
    behind what is served. `on_served` hears of each repository that serves another revision, before what that replaces is
    cleaned up, maybe more than once."""

    def __init__(
        self,
        stores: BuildStores,
        index: ChunkIndex,
        settings: IngestionSettings,
        *,
        fills: bool = False,
        on_served: Callable[[str], Awaitable[None]] = _nobody,
    ) -> None:
        self._manifests, self._artifacts, self._builds, self._bus = (
            stores.manifests, stores.artifacts, stores.builds, stores.bus
        )  # fmt: skip
        self._index, self._settings, self._on_served = index, settings, on_served
        self._collection = index.space.collection
        self._fills = self._collection if fills else ""
        self._building: dict[str, _Building] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def progress(self, manifest: Manifest) -> Progress:
        """How far the wanted revision has come, as far as this process knows."""
        building = self._building.get(artifact_name(manifest))
        if not building:
            return Progress()
        return Progress(building.files_done, building.files_total, building.chunks_done)

    async def start(
        self, event: events_pb2.RevisionWanted | events_pb2.FillWanted, open_source: Callable[[Manifest], Snapshots]
    ) -> None:
        """Plans the wanted revision and publishes its parts. A wish that is not the newest is dropped."""
        found = await self._newest(event.repository, event.generation)
        if not found:
            return
        if found.manifest.up_to_date:
            await self._clean(found)
            return
        draft = await self._draft(found, open_source(found.manifest))
        found = await self._newest(event.repository, event.generation)
        if not found:
            return
        await self._publish(found.manifest, self._cut(draft))
        await self._serve_if_whole(event.repository, event.generation)

    async def take(self, event: events_pb2.BatchIndexed) -> None:
        """Records what became of a batch; after the last one the revision is served."""
        build = event.build
        found = await self._newest(build.repository, build.generation)
        if not found:
            return
        if found.manifest.up_to_date:
            await self._clean(found)
            return
        name = artifact_name(found.manifest)
        await self._builds.put(name, f"{event.part}.{event.batch}.{event.batches}", event.SerializeToString())
        if building := self._building.get(name):
            building.files_done += len(event.files)
            building.chunks_done += sum(file.chunks for file in event.files)
        await self._serve_if_whole(build.repository, build.generation)

    async def _newest(self, repository: str, generation: int) -> Versioned | None:
        found = await self._manifests.get(repository, self._fills)
        return found if found and found.manifest.generation == generation else None

    async def _draft(self, found: Versioned, source: Snapshots) -> Artifact:
        """The plan of the build: the one that is kept, or a new one, kept before anything is published from it."""
        manifest = found.manifest
        try:
            return Artifact.load(await self._artifacts.get(draft_name(manifest)))
        except NotFound:
            pass  # the first time
        snapshot = await asyncio.to_thread(source.snapshot, manifest.wanted)
        if self._fills and manifest.since:  # nobody could tell its older points from newer ones; the served collection answers
            await self._index.drop(manifest.repository)
        served = await self._kept(manifest.served.artifact) if manifest.served and manifest.one_recipe else None
        draft = await asyncio.to_thread(
            Artifact.plan, manifest.repository, manifest.live, manifest.generation, snapshot, served
        )
        if snapshot.commit != manifest.wanted:  # a folder that changed since it was wanted
            await self._manifests.update(replace(manifest, wanted=snapshot.commit), found.version)
        await self._artifacts.put(draft_name(manifest), draft.dump())
        return draft

    def _cut(self, draft: Artifact) -> list[list[FileVersion]]:
        return list(parts(draft.pending(), self._settings.part_files, self._settings.part_bytes))

    async def _publish(self, manifest: Manifest, cut: list[list[FileVersion]]) -> None:
        name = artifact_name(manifest)
        building = self._building[name] = _Building(len(cut), sum(map(len, cut)))
        done = await self._parts_done(name, building)
        build = events_pb2.Build(
            repository=manifest.repository,
            generation=manifest.generation,
            branch=manifest.live,
            bulk=len(cut) > self._settings.bulk_parts,
            id=name,
            collection=self._collection,
            fill=bool(self._fills),
        )
        for number, files in enumerate(cut):
            if number in done:
                continue
            event = events_pb2.RevisionSynced(
                repository=manifest.repository, build=build, part=number, files=map(version_to_proto, files)
            )
            await self._bus.publish(event, message_id=f"synced-{name}-{number}", queue=queue_of(build))

    async def _parts_done(self, name: str, building: _Building) -> set[int]:
        """Parts that were indexed before this process was started."""
        batches = await self._builds.batches(name)
        for data in await self._builds.outcomes(name, sorted(batches)) if batches else ():
            batch = events_pb2.BatchIndexed.FromString(data)
            building.files_done += len(batch.files)
            building.chunks_done += sum(file.chunks for file in batch.files)
        return set(complete(batches))

    async def _serve_if_whole(self, repository: str, generation: int) -> None:
        async with self._turns[repository]:
            found = await self._newest(repository, generation)
            if not found or found.manifest.up_to_date:
                return
            name = artifact_name(found.manifest)
            if name not in self._building:  # another process planned it, or this one before it was restarted
                draft = await self._kept(draft_name(found.manifest))
                cut = self._cut(draft)
                self._building[name] = _Building(len(cut), sum(map(len, cut)))
            batches = whole(await self._builds.batches(name), self._building[name].parts)
            if batches is not None:
                await self._serve(found, batches)

    async def _serve(self, found: Versioned, batches: Sequence[str]) -> None:
        manifest, name = found.manifest, artifact_name(found.manifest)
        draft = await self._kept(draft_name(manifest))
        events = [events_pb2.BatchIndexed.FromString(data) for data in await self._builds.outcomes(name, batches)]
        await asyncio.to_thread(draft.apply, [outcome for event in events for outcome in _outcomes(event)])
        await self._artifacts.put(name, await asyncio.to_thread(draft.dump))
        files, chunks = draft.totals()
        seconds = time.time() - manifest.wanted_at
        served = Served(manifest.generation, draft.commit, name, files, chunks, seconds, draft.failed())
        try:
            version = await self._manifests.update(manifest.serve(served), found.version)
        except Conflict:
            log.info("a newer revision is wanted", repository=manifest.repository, generation=manifest.generation)
            return
        await self._clean(Versioned(manifest.serve(served), version))
        if not self._fills and any(file.reason == CHANGED_MEANWHILE for event in events for file in event.files):
            await self._look_again(manifest.repository)

    async def _tell(self, manifest: Manifest) -> None:
        served = manifest.served
        assert served
        if self._fills:
            filled = events_pb2.CollectionFilled(
                repository=manifest.repository, collection=self._fills, generation=served.generation
            )
            await self._bus.publish(filled, message_id=f"filled-{served.artifact}")
            return
        event = events_pb2.RevisionIndexed(
            repository=manifest.repository,
            generation=served.generation,
            branch=manifest.live,
            commit=served.commit,
            artifact=served.artifact,
        )
        await self._bus.publish(event, message_id=f"revision-{served.artifact}")

    async def _clean(self, found: Versioned) -> None:
        """Tells of the revision that is served now, deletes the points that only retired ones hold, then their artifacts and
        the build's records."""
        manifest = found.manifest
        assert manifest.served
        await self._tell(manifest)
        await self._on_served(manifest.repository)
        if manifest.retired:
            await self._retire(manifest, manifest.served)
        for name in (draft_name(manifest), *manifest.retired):
            await self._artifacts.delete(name)
        await self._builds.forget(manifest.served.artifact)
        for name in manifest.retired:
            await self._builds.forget(name.removesuffix(".draft"))
        self._building.pop(manifest.served.artifact, None)
        if manifest.retired or manifest.since:
            try:
                await self._manifests.update(replace(manifest, retired=(), since=0), found.version)
            except Conflict:
                log.info("cleaned again with the next revision", repository=manifest.repository)

    async def _retire(self, manifest: Manifest, served: Served) -> None:
        """Deletes what only retired revisions hold, and everything that another recipe made."""
        keep: dict[str, str | None] = {}
        others: dict[str, str | None] = {}
        current = (await self._kept(served.artifact)).indexed()
        for name in manifest.retired:
            for path, blob in (await self._versions(name)).items():
                others[path] = None
                if current.get(path) != blob:
                    keep[path] = current.get(path)
        if keep:
            await self._index.retire(manifest.repository, keep, served.generation)
        if others and manifest.since:
            await self._index.retire(manifest.repository, others, manifest.since - 1)

    async def _kept(self, artifact: str) -> Artifact:
        """Raises Conflict: what a manifest names is there, but for one that changed or was disconnected in this moment."""
        try:
            return Artifact.load(await self._artifacts.get(artifact))
        except NotFound as error:
            raise Conflict(f"{artifact} was replaced meanwhile") from error

    async def _versions(self, artifact: str) -> dict[str, str]:
        try:
            return Artifact.load(await self._artifacts.get(artifact)).versions()
        except NotFound:
            return {}  # given up before it was planned, or cleaned by an earlier try

    async def _look_again(self, repository: str) -> None:
        """Wants the next generation of a folder that changed while it was indexed, whatever it holds by then."""
        found = await self._manifests.get(repository)
        if not found or found.manifest.leaving:
            return
        manifest = found.manifest.want("")
        await self._manifests.update(manifest, found.version)
        event = events_pb2.RevisionWanted(repository=repository, generation=manifest.generation, commit="")
        await self._bus.publish(event, message_id=f"wanted-{artifact_name(manifest)}")


def whole(batches: Iterable[str], parts_: int) -> list[str] | None:
    """The batches that make up the build, or None while some are missing. Names are `part.batch.batches`.

    A part that was given up half way is cut anew, into another number of batches: one complete cut of each part counts.
    """
    chosen = complete(batches)
    if len(chosen) < parts_:
        return None
    return [f"{part}.{batch}.{of}" for part, of in sorted(chosen.items()) for batch in range(of)]


def complete(batches: Iterable[str]) -> dict[int, int]:
    """The parts of which every batch is in, with their number of batches."""
    cuts: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for name in batches:
        part, batch, of = map(int, name.split("."))
        cuts[part, of].add(batch)
    return {part: of for (part, of), seen in sorted(cuts.items()) if len(seen) == of}


def _outcomes(event: events_pb2.BatchIndexed) -> list[FileOutcome]:
    links = split_links(event.links, len(event.files))
    return [_outcome(file, packed) for file, packed in zip(event.files, links, strict=True)]


def _outcome(file: events_pb2.FileOutcome, links: bytes) -> FileOutcome:
    state = state_from_proto(file.state)
    return FileOutcome(version_from_proto(file.file), state, file.reason, file.chunks, file.terms, links)
