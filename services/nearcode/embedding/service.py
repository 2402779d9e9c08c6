"""Embedding: chunks to vectors to the index."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.events.v1.events_pb2 import BatchIndexed, Build, ChunksCut, FileOutcome
from nearcode.domain.chunk import point_id
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.domain.index import ChunkIndex, Embedder, FileTexts, Point
from nearcode.domain.repository import CHANGED_MEANWHILE, Blobs, FileVersion
from nearcode.embedding.outcomes import INDEXED, failed, report
from nearcode.embedding.reading import ReadFile, read_files

MOST_TEXTS = 1024
"""Texts of one call."""
LONGEST_TEXT = 1_000_000
"""Characters of one text: the size of the largest file that is indexed."""


class Embedding:
    """One collection's. `is_current(build)`: whether that build is still wanted."""

    def __init__(
        self, blobs: Blobs, embedder: Embedder, index: ChunkIndex, is_current: Callable[[Build], Awaitable[bool]]
    ) -> None:
        self._blobs, self._embedder, self._index, self._is_current = blobs, embedder, index, is_current

    async def index_batch(self, event: ChunksCut, trace: str) -> BatchIndexed | None:
        """Stores the points of a batch and tells what became of each file. None: a newer build took over, and nobody waits.

        `trace` is the traceparent that is stored with each point. Raises Unavailable.
        """
        if not await self._wanted(event):
            return None
        sources = await self._sources(event)
        files = await asyncio.to_thread(self._read, event, sources)
        vectors = dict(zip(files, await self._embedder.embed_files([file.texts for file in files.values()]), strict=True))
        outcomes, points = [], []
        for at, outline in enumerate(event.files):
            outcome = _outcome(outline, files.get(at), vectors.get(at))
            outcomes.append(outcome)
            if at in files and outcome.state == INDEXED:
                points += self._points(event, files[at], vectors[at], trace)
        if not await self._wanted(event):  # a late writer's points would be nobody's to retire
            return None
        if points:
            await self._index.upsert(points)
        stored = {} if event.build.fill else {at: file for at, file in files.items() if outcomes[at].state == INDEXED}
        lexical = {file.outline.file.path: file.lexical for file in stored.values()}
        links = [stored[at].links if at in stored else b"" for at in range(len(outcomes))]
        return report(event, outcomes, lexical, links)  # terms and links are told once, of what is served

    async def embed(self, texts: Sequence[str], query: bool) -> NDArray[np.float32]:
        """Shape (texts, dimensions): each text as a question, or as a document of its own without a path.

        Raises InvalidRequest (too many, too long) and Unavailable.
        """
        if len(texts) > MOST_TEXTS:
            raise InvalidRequest(f"{len(texts)} texts in one call; at most {MOST_TEXTS}", Reason.TOO_LARGE, "texts")
        if any(len(text) > LONGEST_TEXT for text in texts):
            raise InvalidRequest(f"a text has more than {LONGEST_TEXT} characters", Reason.TOO_LARGE, "texts")
        if query:
            rows = [await self._embedder.embed_query(text, {}) for text in texts]
        else:
            rows = [array[0] for array in await self._embedder.embed_files([FileTexts("", (text,)) for text in texts])]
        return np.array(rows, np.float32).reshape(len(texts), self._embedder.profile.dimensions)

    @property
    def profile_name(self) -> str:
        """The model profile whose vectors these are."""
        return self._embedder.profile.name

    async def _wanted(self, event: ChunksCut) -> bool:
        return await self._is_current(event.build)

    async def _sources(self, event: ChunksCut) -> dict[int, bytes]:
        """Bytes of the files to index, by their place in the event; those that are gone are left out."""
        places = [at for at, outline in enumerate(event.files) if outline.state == INDEXED]
        wanted = [event.files[at].file for at in places]
        versions = [FileVersion(file.path, file.blob, file.size) for file in wanted]
        found = [blob.data async for blob in self._blobs.read(event.repository, versions)] if versions else []
        return {at: data for at, data in zip(places, found, strict=True) if data is not None}

    def _read(self, event: ChunksCut, sources: dict[int, bytes]) -> dict[int, ReadFile]:
        profile = self._embedder.profile
        read = read_files(event.repository, [(event.files[at], data) for at, data in sources.items()], profile)
        return dict(zip(sources, read, strict=True))

    def _points(self, event: ChunksCut, file: ReadFile, vectors: NDArray[np.float32], trace: str) -> list[Point]:
        live, generation = (event.build.branch,), event.build.generation
        return [
            Point(point_id(chunk, self._embedder.profile.name), chunk, vector, lexical, live, generation, trace)
            for chunk, vector, lexical in zip(file.chunks, vectors, file.lexical, strict=True)
        ]


def give_up(event: ChunksCut, reason: str) -> BatchIndexed:
    """The report of a batch that could not be indexed, so that its revision ends. A collection that is filled behind waits
    until its model is well again: what is missing in it must not be taken for filled."""
    if event.build.fill:
        return BatchIndexed(repository=event.repository, build=event.build, part=event.part, batch=event.batch, error=reason)
    return report(event, [failed(outline, reason) for outline in event.files], {})


def _outcome(outline: FileOutline, file: ReadFile | None, vectors: NDArray[np.float32] | None) -> FileOutcome:
    if outline.state != INDEXED:
        return FileOutcome(file=outline.file, state=outline.state, reason=outline.reason)
    if file is None or vectors is None:
        return failed(outline, CHANGED_MEANWHILE)
    if not np.isfinite(vectors).all():
        return failed(outline, "the embedding model gave vectors that are not finite")
    return FileOutcome(file=outline.file, state=INDEXED, reason=outline.reason, chunks=len(file.chunks))
