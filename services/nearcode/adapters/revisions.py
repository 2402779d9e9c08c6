"""The revisions that are served now, read from their artifacts and kept in memory."""

import asyncio
import time
from collections import OrderedDict

from nearcode.adapters.artifact_cache import CachedArtifacts
from nearcode.api.events.v1 import events_pb2
from nearcode.domain.artifact import Artifact, ArtifactRevision
from nearcode.domain.errors import NotFound
from nearcode.domain.manifest import Manifest, Manifests, Served
from nearcode.domain.repository import Revision
from nearcode.events.bus import Bus

_KEPT = 256
_FRESH_SECONDS = 1.0
"""How long manifests are believed without asking. RevisionIndexed shortens it to nothing; this is for facts that got lost.
They are asked for together: one by one, a caller with 50 repositories waited for 50 answers once a second."""

_Look = tuple[float, dict[str, Manifest]]
"""When it was asked (monotonic seconds), and every manifest by its repository."""


class ArtifactRevisions:
    """Implements domain.repository.Revisions. Least recently used repositories fall out of memory."""

    def __init__(self, manifests: Manifests, artifacts: CachedArtifacts) -> None:
        self._manifests, self._artifacts = manifests, artifacts
        self._revisions: OrderedDict[str, ArtifactRevision] = OrderedDict()
        self._artifact: dict[str, str] = {}
        self._asked: dict[str, float] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._look: asyncio.Task[_Look] | None = None
        self._told: dict[str, float] = {}

    async def follow(self, bus: Bus) -> None:
        """Learns at once of revisions that are served from now on."""
        await bus.follow(events_pb2.RevisionIndexed, self._indexed)

    async def current(self, repository: str) -> Revision | None:
        if time.monotonic() - self._asked.get(repository, -_FRESH_SECONDS) < _FRESH_SECONDS:
            return self._kept(repository)
        loading = self._loading.get(repository)
        if loading is None:
            loading = self._loading[repository] = asyncio.create_task(self._refresh(repository))
            loading.add_done_callback(lambda _: self._loading.pop(repository, None))
        await asyncio.shield(loading)  # a caller who gives up must not undo it: a large artifact would never be there
        return self._kept(repository)

    def _kept(self, repository: str) -> ArtifactRevision | None:
        revision = self._revisions.get(repository)
        if revision:
            self._revisions.move_to_end(repository)
        return revision

    async def _refresh(self, repository: str) -> None:
        asked, manifests = await asyncio.shield(self._looked())
        if self._asked.get(repository, asked) > asked:
            return  # meanwhile it was asked for again
        manifest = manifests.get(repository)
        if manifest is None or manifest.served is None:
            self._revisions.pop(repository, None)
        else:
            await self._load(manifest, manifest.served)
        if self._told.get(repository, asked) <= asked:
            self._asked[repository] = asked

    def _looked(self) -> "asyncio.Task[_Look]":
        """The look that is under way, or was a moment ago; else a new one."""
        look = self._look
        fresh = look and (not look.done() or (not look.exception() and time.monotonic() - look.result()[0] < _FRESH_SECONDS))
        if look is None or not fresh:
            look = self._look = asyncio.create_task(self._everything())
        return look

    async def _everything(self) -> _Look:
        asked = time.monotonic()
        return asked, {manifest.repository: manifest for manifest in await self._manifests.all()}

    async def _load(self, manifest: Manifest, served: Served) -> None:
        repository, branch, first = manifest.repository, manifest.live, manifest.oldest
        # Not by generation: that begins anew when a repository is disconnected and connected again.
        if repository in self._revisions and self._artifact[repository] == served.artifact:
            return
        try:
            data = await self._artifacts.get(served.artifact)
        except NotFound:
            return  # replaced in this moment: the next look finds the newer one
        revision = await asyncio.to_thread(
            lambda: ArtifactRevision(repository, branch, served.generation, Artifact.load(data), first)
        )
        self._revisions[repository], self._artifact[repository] = revision, served.artifact
        while len(self._revisions) > _KEPT:
            oldest, _ = self._revisions.popitem(last=False)
            self._asked.pop(oldest, None)

    async def _indexed(self, fact: events_pb2.RevisionIndexed) -> None:
        self._told[fact.repository] = time.monotonic()
        self._asked.pop(fact.repository, None)
        self._loading.pop(fact.repository, None)
        self._look = None  # what is looked for just now may be from before
        if fact.repository in self._revisions:
            await self.current(fact.repository)
