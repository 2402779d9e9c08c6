"""Packs outlines into events that stay below the limit of the bus. Pure: the same outlines give the same batches."""

from collections.abc import Iterator, Sequence

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.events.v1.events_pb2 import ChunksCut, RevisionSynced

BATCH_BYTES = 60_000
"""Bytes of a batch's files: an event holds at most 64 KB, and its other fields and headers take less than 4 KB."""

_FRAME = 6
"""Bytes of tag and length around a nested message."""


def pack(event: RevisionSynced, outlines: Sequence[FileOutline]) -> list[ChunksCut]:
    """Whole files while they fit; a file that does not fit in one batch has batches of its own. At least one batch."""
    batches = list(_batches(outlines)) or [[]]
    return [
        ChunksCut(
            repository=event.repository, build=event.build, part=event.part, batch=number, batches=len(batches), files=files
        )
        for number, files in enumerate(batches)
    ]


def _batches(outlines: Sequence[FileOutline]) -> Iterator[list[FileOutline]]:
    batch: list[FileOutline] = []
    room = BATCH_BYTES
    for outline in outlines:
        size = outline.ByteSize() + _FRAME
        if batch and size > room:
            yield batch
            batch, room = [], BATCH_BYTES
        if size > BATCH_BYTES:
            yield from ([part] for part in _parts(outline))
        else:
            batch.append(outline)
            room -= size
    if batch:
        yield batch


def _parts(outline: FileOutline) -> Iterator[FileOutline]:
    """The outline in parts that hold its chunks in turn, and each everything else."""
    frame = FileOutline()
    frame.CopyFrom(outline)
    del frame.chunks[:]
    part, room = FileOutline(), -1
    for chunk in outline.chunks:
        size = chunk.ByteSize() + _FRAME
        if size > room:
            if part.chunks:
                yield part
            part, room = FileOutline(), BATCH_BYTES - frame.ByteSize() - _FRAME
            part.CopyFrom(frame)
        part.chunks.append(chunk)
        room -= size
    yield part
