"""What a batch reports of its files, below the size of an event. Pure."""

from collections.abc import Mapping, Sequence

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.events.v1.events_pb2 import BatchIndexed, ChunksCut, FileOutcome
from nearcode.api.repositories.v1.repositories_pb2 import FileState
from nearcode.domain.graph import join_links
from nearcode.domain.index import Sparse
from nearcode.domain.sparse import file_terms

FAILED = FileState.FILE_STATE_FAILED
INDEXED = FileState.FILE_STATE_INDEXED

BATCH_BYTES = 60_000
"""Bytes of a batch's report: an event holds at most 64 KB, and its other fields and headers take less than 4 KB."""
FILE_TERMS = 4000
"""Terms that one file reports at most, 16 KB. Of 2,823 Python files of Django none has more, half have at most 70."""
_FRAME = 6
"""Bytes of tag and length around a field."""


def report(
    event: ChunksCut, outcomes: Sequence[FileOutcome], lexical: Mapping[str, Sequence[Sparse]], links: Sequence[bytes] = ()
) -> BatchIndexed:
    """The outcome of each file, in order, with the distinct terms of the indexed ones (`lexical`, by path) and the packed links
    of each (`links`, in order).

    A batch with more terms than fit keeps the same number of each larger file: those in the most of its chunks.
    """
    batch = BatchIndexed(
        repository=event.repository,
        build=event.build,
        part=event.part,
        batch=event.batch,
        batches=event.batches,
        files=outcomes,
        links=join_links(links) if any(links) else b"",
    )
    terms = {path: file_terms(vectors, FILE_TERMS) for path, vectors in lexical.items()}
    room = (BATCH_BYTES - batch.ByteSize() - _FRAME * len(terms) * 2) // 4
    limit = fair_limit([len(found) for found in terms.values()], max(0, room))
    for outcome in batch.files:
        if (found := terms.get(outcome.file.path)) is not None:
            kept = found if len(found) <= limit else file_terms(lexical[outcome.file.path], limit)
            outcome.terms = kept.astype("<u4").tobytes()
    return batch


def fair_limit(sizes: Sequence[int], room: int) -> int:
    """The largest limit for which the sizes, each cut to it, add up to at most `room`."""
    left = room
    for done, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - done)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def failed(outline: FileOutline, reason: str) -> FileOutcome:
    """A file that should be in the index and is not."""
    return FileOutcome(file=outline.file, state=FAILED, reason=reason)
