"""The use cases of chunking: cut one part of a revision, preview one file."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.events.v1.events_pb2 import Build, ChunksCut, RevisionSynced
from nearcode.chunking.batches import pack
from nearcode.chunking.windows import failed
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.domain.repository import CHANGED_MEANWHILE, Blobs, FileVersion, blob_id
from nearcode.domain.spaces import split_collection

LARGEST_PREVIEW = 2**20
"""Bytes of a file that a preview takes: what is indexed is smaller by default."""

_READ_BYTES = 8 * 2**20
"""Bytes of sources held at once."""

_SHAPE = "siblings"
"""What index spaces take that name no other: the static one does."""

IsCurrent = Callable[[Build], Awaitable[bool]]
"""Whether a build is still wanted."""


class Parsers(Protocol):
    """Outlines files, whatever they hold, in their order."""

    async def outline(self, files: Sequence[tuple[FileVersion, bytes]], shape: str) -> list[FileOutline]: ...


class Chunking:
    """Source files to outlines of chunks. `shapes` names the shape of each index space that does not take the default."""

    def __init__(
        self, blobs: Blobs, parsers: Parsers, is_current: IsCurrent, shapes: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._blobs, self._parsers, self._is_current, self._shapes = blobs, parsers, is_current, shapes

    async def cut_part(self, event: RevisionSynced) -> list[ChunksCut]:
        """The batches of a part, in file order, each small enough for an event; none when the build is stale.

        Raises Unavailable (blobs cannot be read now).
        """
        if not await self._is_current(event.build):
            return []
        outlines: list[FileOutline] = []
        space, _ = split_collection(event.build.collection)
        shape = self._shapes.get(space, _SHAPE)
        async for group in self._read(event):
            outlines += await self._outline(group, shape)
        # Nobody takes what is sent for a build that was given up meanwhile: the Jobs of its repository may be gone, too.
        return pack(event, outlines) if await self._is_current(event.build) else []

    async def give_up(self, event: RevisionSynced, reason: str) -> list[ChunksCut]:
        """The batches of a part whose files all failed for a reason."""
        if not await self._is_current(event.build):
            return []
        outlines = [failed(reason) for _ in event.files]
        for outline, file in zip(outlines, event.files, strict=True):
            outline.file.CopyFrom(file)
        return pack(event, outlines)

    async def preview(self, path: str, source: bytes) -> FileOutline:
        """How a file would be cut. Raises InvalidRequest."""
        if not path:
            raise InvalidRequest("path is empty; give the file's name, its extension tells the language", field="path")
        if len(source) > LARGEST_PREVIEW:
            raise InvalidRequest(
                f"source has {len(source):,} bytes; a preview takes {LARGEST_PREVIEW:,}", Reason.TOO_LARGE, field="source"
            )
        version = FileVersion(path, blob_id(source), len(source))
        return (await self._parsers.outline([(version, source)], _SHAPE))[0]

    async def _read(self, event: RevisionSynced) -> AsyncIterator[list[tuple[FileVersion, bytes | None]]]:
        versions = [FileVersion(file.path, file.blob, file.size) for file in event.files]
        group: list[tuple[FileVersion, bytes | None]] = []
        held = 0
        async for blob in self._blobs.read(event.repository, versions):
            group.append((blob.file, blob.data))
            held += len(blob.data or b"")
            if held >= _READ_BYTES:
                yield group
                group, held = [], 0
        yield group

    async def _outline(self, group: Sequence[tuple[FileVersion, bytes | None]], shape: str) -> list[FileOutline]:
        present = [(version, data) for version, data in group if data is not None]
        found = iter(await self._parsers.outline(present, shape))
        return [next(found) if data is not None else _gone(version) for version, data in group]


def _gone(version: FileVersion) -> FileOutline:
    outline = failed(CHANGED_MEANWHILE)
    outline.file.path, outline.file.blob, outline.file.size = version.path, version.blob, version.size
    return outline
