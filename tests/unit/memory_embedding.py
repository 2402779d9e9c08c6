"""Ports of the embedding service in memory, and batches made by line windows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import Message
from nearcode.api.chunking.v1.chunking_pb2 import ChunkOutline, FileOutline
from nearcode.api.events.v1.events_pb2 import Build, ChunksCut
from nearcode.api.repositories.v1.repositories_pb2 import FileState
from nearcode.api.repositories.v1.repositories_pb2 import FileVersion as FileVersionMessage
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.domain.repository import Blob, FileVersion, blob_id
from numpy.typing import NDArray


class MemoryBlobs:
    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self.sources = dict(sources)

    async def read(self, repository: str, files: Sequence[FileVersion]) -> AsyncIterator[Blob]:
        for file in files:
            data = self.sources.get(file.path)
            yield Blob(file, data if data is not None and blob_id(data) == file.blob else None)


class LengthEmbedder:
    """Vectors of two numbers, from the length of the text; counts what it was asked to embed."""

    def __init__(self, profile: ModelProfile | None = None) -> None:
        self.profile = profile or ModelProfile("length-2", 2, static=True)
        self.embedded: list[str] = []

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        self.embedded += [file.path for file in files]
        return [np.array([self._vector(text) for text in file.texts], np.float32).reshape(-1, 2) for file in files]

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        return np.array(self._vector(text), np.float32)

    def _vector(self, text: str) -> list[float]:
        if "not a number" in text:
            return [float("nan"), 0.0]
        return [float(np.cos(len(text))), float(np.sin(len(text)))]


class MemoryBus:
    def __init__(self) -> None:
        self.published: list[tuple[str, Message, str]] = []
        self.handler: Callable[[Any], Awaitable[None]] | None = None
        self.on_dead: Callable[[Any, str], Awaitable[None]] | None = None

    async def publish(self, event: Message, *, message_id: str, queue: str = "small") -> None:
        self.published.append((message_id, event, queue))

    async def react(
        self,
        event: type[Any],
        handler: Callable[[Any], Awaitable[None]],
        on_dead: Callable[[Any, str], Awaitable[None]] | None = None,
        concurrency: int = 2,
        *,
        fill: str = "",
    ) -> None:
        self.handler, self.on_dead = handler, on_dead

    async def follow(self, event: type[Any], handler: Callable[[Any], Awaitable[None]]) -> None:
        raise NotImplementedError


def outline(path: str, source: bytes, lines: int = 10) -> FileOutline:
    """A file cut by line windows."""
    file = FileVersionMessage(path=path, blob=blob_id(source), size=len(source))
    made = FileOutline(file=file, language="python", state=FileState.FILE_STATE_INDEXED)
    rows, start = source.splitlines(keepends=True), 0
    for first in range(0, len(rows), lines):
        some = rows[first : first + lines]
        end = start + sum(map(len, some))
        made.chunks.append(
            ChunkOutline(
                ordinal=len(made.chunks),
                kind="lines",
                start_byte=start,
                end_byte=end,
                start_line=first + 1,
                end_line=first + len(some),
            )
        )
        start = end
    return made


def batch(files: Sequence[FileOutline], bulk: bool = False) -> ChunksCut:
    """One of two batches of part 3."""
    build = Build(repository="r1", generation=7, branch="main", bulk=bulk, id="r1.7-a")
    return ChunksCut(repository="r1", build=build, part=3, batch=1, batches=2, files=files)
