"""From a batch of chunks to stored points and a report of each file."""

import numpy as np
import pytest
from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.embedding.v1.embedding_pb2 import EmbedRequest
from nearcode.api.events.v1.events_pb2 import BatchIndexed, Build, FileOutcome
from nearcode.api.repositories.v1.repositories_pb2 import FileState
from nearcode.domain.errors import InvalidRequest, Unavailable
from nearcode.domain.index import IndexSpace, ModelProfile, Point
from nearcode.domain.terms import term_id
from nearcode.embedding.outcomes import FILE_TERMS, fair_limit
from nearcode.embedding.profiles import profile
from nearcode.embedding.rpc import EmbeddingServicer
from nearcode.embedding.service import Embedding
from nearcode.embedding.worker import EmbeddingWorker
from nearcode.runtime.server import Call

from tests.unit.memory_embedding import LengthEmbedder, MemoryBlobs, MemoryBus, batch, outline
from tests.unit.memory_index import MemoryIndex

FILES = {
    "app/models.py": b"class User:\n    def save(self):\n        pass\n" * 8,
    "app/views.py": b"def index(request):\n    return render(request)\n",
}
INDEXED, SKIPPED, FAILED = FileState.FILE_STATE_INDEXED, FileState.FILE_STATE_SKIPPED, FileState.FILE_STATE_FAILED


class World:
    """An embedding service over ports in memory."""

    def __init__(self, sources: dict[str, bytes]) -> None:
        self.embedder = LengthEmbedder()
        self.index = RecordingIndex(IndexSpace("completion", self.embedder.profile))
        self.blobs = MemoryBlobs(sources)
        self.current = [True]
        self.embedding = Embedding(self.blobs, self.embedder, self.index, self._is_current)

    async def open(self, collection: str) -> Embedding:
        return self.embedding

    async def _is_current(self, build: Build) -> bool:
        assert (build.repository, build.generation) == ("r1", 7)
        return self.current.pop(0) if len(self.current) > 1 else self.current[0]

    async def indexed(self, files: list[FileOutline]) -> dict[str, FileOutcome]:
        made = await self.embedding.index_batch(batch(files), "trace-1")
        assert made is not None
        return {outcome.file.path: outcome for outcome in made.files}


class RecordingIndex(MemoryIndex):
    """Remembers what was upserted."""

    def __init__(self, space: IndexSpace) -> None:
        super().__init__(space)
        self.upserted: list[Point] = []

    async def upsert(self, points: object) -> None:
        assert isinstance(points, list)
        self.upserted += points
        await super().upsert(points)


def outlines() -> list[FileOutline]:
    return [outline(path, source) for path, source in FILES.items()]


async def test_each_chunk_becomes_a_point_that_knows_its_branch_build_and_trace() -> None:
    world = World(FILES)
    outcomes = await world.indexed(outlines())
    assert {path: (outcome.state, outcome.chunks) for path, outcome in outcomes.items()} == {
        "app/models.py": (INDEXED, 3),
        "app/views.py": (INDEXED, 1),
    }
    assert [(point.chunk.path, point.chunk.start_line, point.chunk.end_line) for point in world.index.upserted] == [
        ("app/models.py", 1, 10),
        ("app/models.py", 11, 20),
        ("app/models.py", 21, 24),
        ("app/views.py", 1, 2),
    ]
    assert {(point.live, point.generation, point.trace) for point in world.index.upserted} == {(("main",), 7, "trace-1")}
    assert len({point.id for point in world.index.upserted}) == 4


async def test_running_twice_gives_the_same_points() -> None:
    first, second = World(FILES), World(FILES)
    one, other = await first.indexed(outlines()), await second.indexed(list(reversed(outlines())))
    assert one == other

    def stored(world: World) -> dict[str, tuple[bytes, bytes, bytes]]:
        points = world.index.upserted
        return {p.id: (p.vector.tobytes(), p.lexical.indices.tobytes(), p.lexical.values.tobytes()) for p in points}

    assert stored(first) == stored(second)


async def test_the_report_names_each_term_of_a_file_once_names_and_path_included() -> None:
    outcomes = await World(FILES).indexed(outlines())
    terms = np.frombuffer(outcomes["app/views.py"].terms, "<u4").tolist()
    assert terms == sorted({term_id(word) for word in ("def", "index", "request", "return", "render", "app", "views")})


async def test_a_file_that_changed_meanwhile_fails_by_name_and_the_others_go_on() -> None:
    world = World(FILES)
    cut = outlines()
    world.blobs.sources["app/models.py"] += b"# more\n"
    outcomes = await world.indexed(cut)
    assert outcomes["app/models.py"].state == FAILED
    assert outcomes["app/models.py"].reason == "changed while it was indexed"
    assert outcomes["app/views.py"].state == INDEXED


async def test_what_the_chunker_left_out_keeps_its_state_and_reason() -> None:
    left_out = outline("data.bin", b"x")
    left_out.state, left_out.reason = SKIPPED, "binary"
    del left_out.chunks[:]
    by_lines = outline("app/views.py", FILES["app/views.py"])
    by_lines.reason = "cut by lines: nested too deeply"
    outcomes = await World(FILES).indexed([left_out, by_lines])
    assert (outcomes["data.bin"].state, outcomes["data.bin"].reason) == (SKIPPED, "binary")
    assert (outcomes["app/views.py"].state, outcomes["app/views.py"].reason) == (INDEXED, by_lines.reason)


async def test_a_vector_that_is_not_finite_fails_its_file_only() -> None:
    sources = {**FILES, "bad.py": b"not a number\n"}
    world = World(sources)
    outcomes = await world.indexed([*outlines(), outline("bad.py", sources["bad.py"])])
    assert outcomes["bad.py"].state == FAILED and "not finite" in outcomes["bad.py"].reason
    assert {point.chunk.path for point in world.index.upserted} == set(FILES)


async def test_an_empty_file_is_indexed_without_chunks() -> None:
    outcomes = await World({"empty.py": b""}).indexed([outline("empty.py", b"")])
    assert (outcomes["empty.py"].state, outcomes["empty.py"].chunks) == (INDEXED, 0)


@pytest.mark.parametrize("current", [[False], [True, False]])
async def test_a_build_that_was_overtaken_stores_nothing_and_says_nothing(current: list[bool]) -> None:
    world = World(FILES)
    world.current = current
    assert await world.embedding.index_batch(batch(outlines()), "") is None
    assert world.index.upserted == []


async def test_a_report_with_very_many_terms_still_fits_an_event() -> None:
    sources = {
        f"{at}.py": " ".join(f"name{at}x{number}" for number in range(400 * at)).encode() + b" shared\nshared\n"
        for at in range(1, 20)
    }
    world = World(sources)
    made = await world.embedding.index_batch(batch([outline(path, data, lines=1) for path, data in sources.items()]), "")
    assert made is not None and 50_000 < made.ByteSize() < 60_000
    reported = {outcome.file.path: np.frombuffer(outcome.terms, "<u4") for outcome in made.files}
    assert all(term_id("shared") in terms for terms in reported.values())
    assert all((np.diff(terms.astype(np.int64)) > 0).all() for terms in reported.values())
    assert max(map(len, reported.values())) <= FILE_TERMS


def test_room_is_shared_so_that_small_files_keep_all() -> None:
    assert fair_limit([10, 100, 1000], 2000) == 1000
    assert fair_limit([10, 100, 1000], 310) == 200
    assert fair_limit([100, 100], 50) == 25
    assert fair_limit([], 50) == 0


async def test_texts_of_a_call_become_vectors() -> None:
    embedding = World({}).embedding
    documents, questions = await embedding.embed(["a", "bb"], query=False), await embedding.embed(["a"], query=True)
    assert documents.shape == (2, 2) and questions.shape == (1, 2)
    assert (await embedding.embed([], query=False)).shape == (0, 2)
    with pytest.raises(InvalidRequest, match="at most 1024"):
        await embedding.embed(["a"] * 1025, query=True)
    with pytest.raises(InvalidRequest, match="characters"):
        await embedding.embed(["a" * 1_000_001], query=False)


async def test_a_call_over_the_wire_gets_profile_dimensions_and_rows() -> None:
    answer = await EmbeddingServicer(World({}).embedding).embed(EmbedRequest(texts=["a", "bb"]), Call("someone", 1.0))
    assert (answer.model_profile, answer.dimensions) == ("length-2", 2)
    rows = np.frombuffer(answer.vectors, "<f4").reshape(2, 2)
    np.testing.assert_allclose(rows, [[np.cos(1), np.sin(1)], [np.cos(2), np.sin(2)]], rtol=1e-6)


async def test_the_worker_publishes_the_report_under_a_name_made_of_the_batch() -> None:
    bus, world = MemoryBus(), World(FILES)
    await EmbeddingWorker(bus, world.open).start()
    assert bus.handler
    await bus.handler(batch(outlines(), bulk=True))
    [(message_id, event, queue)] = bus.published
    assert (message_id, queue) == ("indexed-r1.7-a-3-1", "bulk")
    assert isinstance(event, BatchIndexed) and (event.part, event.batch, event.batches) == (3, 1, 2)


async def test_the_worker_says_nothing_for_an_overtaken_build() -> None:
    bus, world = MemoryBus(), World(FILES)
    world.current = [False]
    await EmbeddingWorker(bus, world.open).start()
    assert bus.handler
    await bus.handler(batch(outlines()))
    assert bus.published == []


async def test_the_worker_fails_when_the_index_is_down_and_reports_a_batch_that_is_given_up() -> None:
    bus, world = MemoryBus(), World(FILES)

    async def down(points: object) -> None:
        raise Unavailable("the index does not answer")

    world.index.upsert = down  # type: ignore[method-assign]
    await EmbeddingWorker(bus, world.open).start()
    assert bus.handler and bus.on_dead
    with pytest.raises(Unavailable):
        await bus.handler(batch(outlines()))
    assert bus.published == []
    await bus.on_dead(batch(outlines()), "the index does not answer")
    [(message_id, event, _)] = bus.published
    assert message_id == "not-indexed-r1.7-a-3-1" and isinstance(event, BatchIndexed)
    assert {(file.state, file.reason) for file in event.files} == {(FAILED, "quarantined: the index does not answer")}


def test_profiles_are_data_and_an_unknown_one_is_named_with_those_known() -> None:
    assert profile("nearcode-static-1") == ModelProfile("nearcode-static-1", 256, static=True)
    with pytest.raises(InvalidRequest, match="nearcode-static-1"):
        profile("nothing")
