"""What both chunk indexes promise: the Qdrant server and the embedded shard, each a real one."""

import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.adapters.qdrant_edge import EdgeChunkIndex
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.index import DefinitionQuery, DenseQuery, IndexSpace, LaneQuery, LexicalQuery, ModelProfile, Near, Sparse

from tests.contract.chunk_points import SPACE, Maker, expected, nothing, scope, stored_ids
from tests.servers import Server, eventually

Index = QdrantChunkIndex | EdgeChunkIndex
SECONDS = 2.0
REPOSITORIES = ["r1", "r2", "r3", "r4", "r5"]


class Store:
    """One store of a kind, which a test can open several times, for several spaces."""

    def __init__(self, kind: str, server: Server, folder: Path) -> None:
        self.kind, self._server, self._folder = kind, server, folder
        self._prefix = f"test{uuid.uuid4().hex}"
        self._opened: list[Index] = []

    async def open(self, space: IndexSpace = SPACE, seconds: float = 10.0) -> Index:
        index: Index
        if self.kind == "server":
            index = QdrantChunkIndex(
                space, self._server.url, collection_prefix=self._prefix, grpc_port=self._server.ports["grpc"], seconds=seconds
            )
        else:
            index = EdgeChunkIndex(space, self._folder / space.name, self._folder / "edge.log", seconds=seconds)
        self._opened.append(index)
        await index.open()
        return index

    def pid(self) -> int:
        """The process that answers for the store."""
        if self.kind == "server":
            return self._server.pid
        (index,) = self._opened
        assert isinstance(index, EdgeChunkIndex) and index.pid
        return index.pid

    async def close(self) -> None:
        for index in self._opened:
            await index.close()


@pytest.fixture(params=["server", "edge"])
async def store(request: pytest.FixtureRequest, qdrant: Server, tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(request.param, qdrant, tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def index(store: Store) -> Index:
    return await store.open()


async def test_the_same_point_twice_is_stored_once(index: Index) -> None:
    point = Maker().point()
    await index.upsert([point, point])
    await index.upsert([point])
    assert await stored_ids(index) == [point.id]


async def test_a_found_chunk_is_the_one_that_was_stored(index: Index) -> None:
    point = Maker().point(path="src/größe/日本語 \U0001f600.py", definitions=("größe",))
    await index.upsert([point])
    lanes: list[LaneQuery] = [
        DenseQuery(point.vector, 5),
        LexicalQuery(point.lexical, 5),
        DefinitionQuery(("größe",), 5, "src/größe"),
    ]
    for (hit,) in await index.search(scope("r1"), lanes):
        assert (hit.id, hit.chunk, hit.trace) == (point.id, point.chunk, point.trace)


async def test_lanes_answer_in_the_order_asked(index: Index) -> None:
    point = Maker().point()
    await index.upsert([point])
    dense, names, nothing_to_ask = DenseQuery(point.vector, 3), DefinitionQuery(("load",), 3), DefinitionQuery((), 3)
    answers = await index.search(scope("r1"), [names, nothing_to_ask, dense])
    assert [[hit.id for hit in hits] for hits in answers] == [[point.id], [], [point.id]]
    assert answers[0][0].score == 1
    assert answers[2][0].score == pytest.approx(1, abs=1e-5)


async def test_search_finds_what_brute_force_finds_and_nothing_outside_the_scope(index: Index) -> None:
    maker = Maker(seed=11)
    points = maker.many(300, REPOSITORIES)
    await index.upsert(points)
    for _ in range(60):
        where, queries = maker.scope(REPOSITORIES), [maker.query() for _ in range(3)]
        for query, hits in zip(queries, await index.search(where, queries), strict=True):
            assert {hit.chunk.repository for hit in hits} <= where.repositories
            scores = expected(points, where, query)
            best = sorted(scores.values(), reverse=True)[: query.limit]
            assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-4)
            assert len({hit.id for hit in hits}) == len(hits)
            for hit in hits:
                assert hit.score == pytest.approx(scores[hit.id], abs=1e-4)


async def test_files_near_by_are_found_in_their_repository_alone_and_only_by_who_may_read_it(index: Index) -> None:
    maker = Maker()
    mine, theirs = maker.point("r1", "src/app.py"), maker.point("r2", "src/app.py")
    other = maker.point("r1", "src/other.py")
    await index.upsert([mine, theirs, other])
    for repository, wanted in (("r1", [mine.id]), ("r2", []), ("another", [])):
        near = Near(repository, ("src/app.py", "gone.py"))
        lanes: list[LaneQuery] = [DenseQuery(mine.vector, 5, near=near), LexicalQuery(mine.lexical, 5, near=near)]
        assert [[hit.id for hit in hits] for hits in await index.search(scope("r1"), lanes)] == [wanted, wanted]
    nowhere = DenseQuery(mine.vector, 5, near=Near("r1", ()))
    assert await index.search(scope("r1"), [nowhere, DenseQuery(mine.vector, 5, "docs", Near("r1", ("src/app.py",)))]) == [
        [],
        [],
    ]


async def test_a_user_who_may_read_nothing_finds_nothing(index: Index) -> None:
    point = Maker().point()
    await index.upsert([point])
    assert await index.search(nothing(), [DenseQuery(point.vector, 5), DefinitionQuery(("load",), 5)]) == [[], []]


async def test_a_repository_without_points_answers_empty(index: Index) -> None:
    empty = LexicalQuery(Sparse(np.array([], np.uint32), np.array([], np.float32)), 5)
    assert await index.search(scope("r1"), [DenseQuery(Maker().vector(), 5), empty]) == [[], []]
    assert await stored_ids(index) == []
    await index.drop("r1")
    await index.retire("r1", {"a.py": "b"}, 1)
    await index.upsert([])


async def test_a_file_version_that_no_branch_holds_is_stored_but_not_found(index: Index) -> None:
    maker = Maker()
    point = maker.point(live=())
    await index.upsert([point])
    assert await stored_ids(index) == [point.id]
    assert await index.search(scope("r1"), [DenseQuery(point.vector, 5), DefinitionQuery(("load",), 5)]) == [[], []]


async def test_a_path_prefix_is_a_folder_or_a_file_and_no_half_name(index: Index) -> None:
    maker = Maker()
    paths = ["src/web/a.py", "src/web.py", "src/webhooks/b.py", "web/c.py"]
    points = {path: maker.point(path=path) for path in paths}
    await index.upsert(list(points.values()))

    async def below(prefix: str) -> set[str]:
        (hits,) = await index.search(scope("r1"), [DenseQuery(maker.vector(), 9, prefix)])
        return {hit.chunk.path for hit in hits}

    assert await below("src/web") == await below("src/web/") == {"src/web/a.py"}
    assert await below("src") == set(paths[:3])
    assert await below("src/web.py") == {"src/web.py"}
    assert await below("") == set(paths)


async def test_retire_keeps_the_given_version_of_each_path_and_other_paths(index: Index) -> None:
    maker = Maker()
    old, new, gone, other, elsewhere = (
        maker.point(path="a.py", blob="b1"), maker.point(path="a.py", blob="b2"), maker.point(path="gone.py"),
        maker.point(path="other.py", blob="b9"), maker.point("r2", path="a.py", blob="b1"),
    )  # fmt: skip
    await index.upsert([old, new, gone, other, elsewhere])
    await index.retire("r1", {"a.py": "b2", "gone.py": None}, before=1)
    assert await stored_ids(index) == sorted([new.id, other.id])
    assert await stored_ids(index, "r2") == [elsewhere.id]


async def test_two_files_that_swapped_their_contents_both_lose_their_old_version(index: Index) -> None:
    maker = Maker()
    points = {(path, blob): maker.point(path=path, blob=blob) for path in ("a.py", "b.py") for blob in ("x", "y")}
    await index.upsert(list(points.values()))
    await index.retire("r1", {"a.py": "y", "b.py": "x"}, before=1)
    assert await stored_ids(index) == sorted([points["a.py", "y"].id, points["b.py", "x"].id])


async def test_a_late_retire_spares_what_a_newer_generation_wrote(index: Index) -> None:
    maker = Maker()
    points = [maker.point(blob=f"b{generation}", generation=generation) for generation in (1, 2, 3)]
    await index.upsert(points)
    await index.retire("r1", {"src/app.py": None}, before=2)
    assert await stored_ids(index) == [points[2].id]


async def test_retire_of_thousands_of_paths(index: Index) -> None:
    maker = Maker()
    points = [maker.point(path=f"d{number % 40}/f{number}.py", blob=f"b{number}") for number in range(3000)]
    await index.upsert(points)
    await index.retire("r1", {p.chunk.path: p.chunk.blob if number % 3 else "new" for number, p in enumerate(points)}, before=1)
    assert await stored_ids(index) == sorted(point.id for number, point in enumerate(points) if number % 3)


async def test_drop_deletes_one_repository_only(index: Index) -> None:
    maker = Maker()
    points = maker.many(40, ["r1", "r2"])
    await index.upsert(points)
    await index.drop("r1")
    assert await stored_ids(index) == []
    assert await stored_ids(index, "r2") == sorted(point.id for point in points if point.chunk.repository == "r2")
    (hits,) = await index.search(scope("r1", "r2"), [DenseQuery(maker.vector(), 50)])
    assert {hit.chunk.repository for hit in hits} == {"r2"}


async def test_scan_gives_back_the_chunk_and_the_bytes_of_its_vector(index: Index) -> None:
    points = {point.id: point for point in Maker().many(1100, ["r1"])}
    await index.upsert(list(points.values()))
    seen = [point async for point in index.scan("r1")]
    assert sorted(point.id for point in seen) == sorted(points)
    for point in seen:
        assert point.vector == points[point.id].vector.tobytes()
        assert point.payload["text"] == points[point.id].chunk.text
        assert not {"live", "generation", "trace"} & set(point.payload)


async def test_what_is_not_part_of_the_digest_does_not_change_a_scan(index: Index) -> None:
    maker = Maker()
    point = maker.point(generation=1)
    await index.upsert([point])
    before = [found async for found in index.scan("r1")]
    again = type(point)(point.id, point.chunk, point.vector, point.lexical, ("main", "next"), 9, "other")
    await index.upsert([again])
    assert [found async for found in index.scan("r1")] == before


async def test_two_index_spaces_lie_side_by_side(store: Store) -> None:
    completion = await store.open()
    chat_space = IndexSpace("chat", ModelProfile("transformer@2", 24))
    chat = await store.open(chat_space)
    one, two = Maker().point(), Maker(space=chat_space).point()
    await completion.upsert([one])
    await chat.upsert([two])
    assert await stored_ids(completion) == [one.id]
    assert await stored_ids(chat) == [two.id]
    await chat.drop("r1")
    assert await stored_ids(completion) == [one.id]


async def test_points_are_there_after_closing_and_opening_again(store: Store) -> None:
    first = await store.open()
    points = Maker().many(50, ["r1"])
    await first.upsert(points)
    await first.close()
    second = await store.open()
    assert await stored_ids(second) == sorted(point.id for point in points)
    (hits,) = await second.search(scope("r1"), [DenseQuery(points[0].vector, 50, "src")])
    assert hits and all(hit.chunk.path.startswith("src/") for hit in hits)


async def test_an_index_of_another_width_is_refused_with_the_cure(store: Store) -> None:
    first = await store.open()
    await first.close()
    with pytest.raises(Conflict, match=r"32.*[Dd]elete .* index again") as refused:
        await store.open(IndexSpace(SPACE.name, ModelProfile(SPACE.profile.name, 32)))
    assert refused.value.reason is Reason.INDEX_MISMATCH


async def test_a_vector_that_does_not_fit_is_a_bug_that_stores_nothing(index: Index) -> None:
    good, short, broken = Maker().point(ordinal=1), Maker(space=IndexSpace("x", ModelProfile("y", 3))).point(), Maker().point()
    broken.vector[3] = np.nan
    for bad in (short, broken):
        with pytest.raises(ValueError, match="finite vector of 16"):
            await index.upsert([good, bad])
    assert await stored_ids(index) == []


async def test_a_store_that_hangs_is_unavailable_in_time_and_answers_when_it_is_back(store: Store) -> None:
    index = await store.open(seconds=SECONDS)
    point = Maker().point()
    await index.upsert([point])
    process = store.pid()
    os.kill(process, signal.SIGSTOP)
    try:
        for call in (index.search(scope("r1"), [DenseQuery(point.vector, 1)]), index.upsert([point]), stored_ids(index)):
            began = time.monotonic()
            with pytest.raises(Unavailable) as failed:
                await call
            assert failed.value.reason is Reason.INDEX_UNAVAILABLE
            assert time.monotonic() - began < SECONDS + 1
        assert not await index.healthy()
    finally:
        os.kill(process, signal.SIGCONT)
    await eventually(index.healthy, 10, "the store went on, but does not answer")
    assert await stored_ids(index) == [point.id]


async def test_both_stores_hold_and_find_the_same(qdrant: Server, tmp_path: Path) -> None:
    maker = Maker(seed=5)
    points = maker.many(400, REPOSITORIES)
    queries = [(maker.scope(REPOSITORIES), maker.query()) for _ in range(30)]
    scans, answers = [], []
    for kind in ("server", "edge"):
        store = Store(kind, qdrant, tmp_path)
        index = await store.open()
        await index.upsert(points)
        scans.append({point.id: point for name in REPOSITORIES async for point in index.scan(name)})
        answers.append(
            [[(hit.id, round(hit.score, 4)) for hit in (await index.search(where, [query]))[0]] for where, query in queries]
        )
        await store.close()
    assert scans[0] == scans[1]
    for one, other in zip(*answers, strict=True):
        assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=2e-4)
