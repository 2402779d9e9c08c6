"""A part of a revision becomes events that fit the bus, whatever became of its files."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from nearcode.api.chunking.v1.chunking_pb2 import ChunkRequest, FileOutline
from nearcode.api.events.v1.events_pb2 import Build, ChunksCut, RevisionSynced
from nearcode.api.repositories.v1 import repositories_pb2 as repositories
from nearcode.chunking.batches import pack
from nearcode.chunking.outline import outline
from nearcode.chunking.rpc import ChunkingServicer
from nearcode.chunking.service import LARGEST_PREVIEW, Chunking
from nearcode.chunking.worker import ChunkingWorker
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.domain.repository import Blob, FileVersion
from nearcode.events.bus import E, Handler
from nearcode.runtime.server import Call


class MemoryBlobs:
    """Sources by path; a path that is missing is gone."""

    def __init__(self, sources: dict[str, bytes]) -> None:
        self.sources, self.reads = sources, 0

    async def read(self, repository: str, files: Sequence[FileVersion]) -> AsyncIterator[Blob]:
        self.reads += 1
        for file in files:
            yield Blob(file, self.sources.get(file.path))


class InProcess:
    """Parses in this process."""

    async def outline(self, files: Sequence[tuple[FileVersion, bytes]], shape: str) -> list[FileOutline]:
        found = []
        for version, source in files:
            found.append(outline(version.path, source))
            found[-1].file.path, found[-1].file.blob = version.path, version.blob
        return found


class Recorder:
    """Keeps what is published, and calls handlers by hand."""

    def __init__(self) -> None:
        self.published: list[tuple[str, ChunksCut, str]] = []
        self.handler: Handler[Any] = self.unexpected
        self.on_dead: Callable[[Any, str], Awaitable[None]] | None = None

    async def publish(self, event: Message, *, message_id: str, queue: str = "small") -> None:
        assert isinstance(event, ChunksCut)
        self.published.append((message_id, event, queue))

    async def react(
        self,
        event: type[E],
        handler: Handler[E],
        on_dead: Callable[[E, str], Awaitable[None]] | None = None,
        concurrency: int = 2,
        *,
        fill: str = "",
    ) -> None:
        self.handler, self.on_dead = handler, on_dead

    async def follow(self, event: type[E], handler: Handler[E]) -> None:
        await self.unexpected(event)

    async def unexpected(self, event: object) -> None:
        raise AssertionError(event)


async def always(build: Build) -> bool:
    return True


async def never(build: Build) -> bool:
    return False


def part_of(paths: Sequence[str], bulk: bool = True) -> RevisionSynced:
    files = [repositories.FileVersion(path=path, blob=f"{number:040x}") for number, path in enumerate(paths)]
    return RevisionSynced(
        repository="r1", part=3, build=Build(repository="r1", generation=7, branch="main", bulk=bulk, id="r1.7-a"), files=files
    )


def functions(count: int, name: str = "f") -> bytes:
    return "".join(f"def {name}_{number}(x):\n    return call_{number}(x)\n\n\n" for number in range(count)).encode()


async def test_each_file_of_a_part_gets_its_outline_in_order() -> None:
    blobs = MemoryBlobs({"a.py": functions(2), "b.bin.py": b"\0", "c.py": functions(1)})
    batches = await Chunking(blobs, InProcess(), always).cut_part(part_of(["a.py", "gone.py", "b.bin.py", "c.py"]))
    assert [(batch.repository, batch.part, batch.batch, batch.batches) for batch in batches] == [("r1", 3, 0, 1)]
    files = list(batches[0].files)
    assert [(file.file.path, file.state, file.reason, len(file.chunks)) for file in files] == [
        ("a.py", repositories.FILE_STATE_INDEXED, "", 2),
        ("gone.py", repositories.FILE_STATE_FAILED, "changed while it was indexed", 0),
        ("b.bin.py", repositories.FILE_STATE_SKIPPED, "binary", 0),
        ("c.py", repositories.FILE_STATE_INDEXED, "", 1),
    ]
    assert files[1].file.blob == f"{1:040x}" and batches[0].build.generation == 7


async def test_events_stay_below_64_kb_and_lose_nothing() -> None:
    sources = {f"m{number}.py": functions(40) for number in range(60)} | {"big.py": functions(6_000)}
    paths = [*sorted(sources)]
    batches = await Chunking(MemoryBlobs(sources), InProcess(), always).cut_part(part_of(paths))
    assert max(batch.ByteSize() for batch in batches) < 62_000 and len(batches) > 3
    assert [batch.batch for batch in batches] == list(range(len(batches))) and {batch.batches for batch in batches} == {
        len(batches)
    }
    counts: dict[str, list[int]] = {}
    for batch in batches:
        for file in batch.files:
            counts.setdefault(file.file.path, []).extend(chunk.ordinal for chunk in file.chunks)
    assert list(counts) == paths
    assert counts["big.py"] == list(range(6_000)) and counts["m7.py"] == list(range(40))
    of_big = [batch for batch in batches if any(file.file.path == "big.py" for file in batch.files)]
    assert len(of_big) > 1 and all(len(batch.files) == 1 for batch in of_big)


def test_how_a_large_file_is_split_depends_on_that_file_alone() -> None:
    big = outline("big.py", functions(6_000))
    big.file.path = "big.py"
    small = outline("small.py", functions(3))
    alone = [batch.files[0] for batch in pack(part_of(["big.py"]), [big])]
    among = [batch.files[0] for batch in pack(part_of(["s.py", "big.py"]), [small, big, small])][1:-1]
    assert alone == among


async def test_a_build_that_nobody_wants_any_more_is_dropped_before_anything_is_read() -> None:
    blobs = MemoryBlobs({"a.py": functions(1)})
    chunking = Chunking(blobs, InProcess(), never)
    assert await chunking.cut_part(part_of(["a.py"])) == []
    assert await chunking.give_up(part_of(["a.py"]), "late") == []
    assert blobs.reads == 0


async def test_an_empty_part_is_answered_with_one_empty_batch() -> None:
    batches = await Chunking(MemoryBlobs({}), InProcess(), always).cut_part(part_of([]))
    assert [(batch.batches, len(batch.files)) for batch in batches] == [(1, 0)]


async def test_batches_are_published_under_ids_made_of_their_content() -> None:
    bus = Recorder()
    await ChunkingWorker(bus, Chunking(MemoryBlobs({"a.py": functions(1)}), InProcess(), always)).start()
    await bus.handler(part_of(["a.py"]))
    await bus.handler(part_of(["a.py"], bulk=False))
    assert [(name, queue) for name, _, queue in bus.published] == [("cut-r1.7-a-3-0", "bulk"), ("cut-r1.7-a-3-0", "small")]


async def test_a_part_that_was_quarantined_is_reported_as_failed_so_that_its_revision_ends() -> None:
    bus = Recorder()
    await ChunkingWorker(bus, Chunking(MemoryBlobs({}), InProcess(), always)).start()
    assert bus.on_dead
    await bus.on_dead(part_of(["a.py", "b.py"]), "ValueError: no")
    [(name, batch, _)] = bus.published
    assert name == "not-cut-r1.7-a-3-0"
    assert [(file.file.path, file.state, file.reason) for file in batch.files] == [
        (path, repositories.FILE_STATE_FAILED, "quarantined: ValueError: no") for path in ("a.py", "b.py")
    ]


async def test_a_person_can_preview_how_a_file_is_cut() -> None:
    servicer = ChunkingServicer(Chunking(MemoryBlobs({}), InProcess(), always))
    answer = await servicer.chunk(ChunkRequest(path="a.py", source=functions(3)), Call("me", 1.0))
    assert [chunk.kind for chunk in answer.outline.chunks] == ["function"] * 3 and answer.outline.file.path == "a.py"


async def test_a_preview_of_a_file_that_is_too_large_or_nameless_is_refused() -> None:
    servicer = ChunkingServicer(Chunking(MemoryBlobs({}), InProcess(), always))
    with pytest.raises(InvalidRequest) as large:
        await servicer.chunk(ChunkRequest(path="a.py", source=b"x" * (LARGEST_PREVIEW + 1)), Call("me", 1.0))
    assert (large.value.reason, large.value.field) == (Reason.TOO_LARGE, "source")
    with pytest.raises(InvalidRequest) as nameless:
        await servicer.chunk(ChunkRequest(source=b"x"), Call("me", 1.0))
    assert nameless.value.field == "path"
