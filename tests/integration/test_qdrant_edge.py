"""The embedded chunk index: kills, full disks, broken folders, one owner, a free event loop."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import qdrant_edge as edge
from nearcode.adapters import qdrant_layout as layout
from nearcode.adapters.qdrant_edge import EdgeChunkIndex
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.index import DenseQuery, IndexSpace, ModelProfile, Point

from tests.contract.chunk_points import SPACE, Maker, scope, stored_ids
from tests.servers import wait_until

WIDE = IndexSpace("completion", ModelProfile("static/wide@1", 256, static=True))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeChunkIndex]:
    index = EdgeChunkIndex(SPACE, tmp_path / "index", tmp_path / "edge.log")
    await index.open()
    yield index
    await index.close()


def kill(index: EdgeChunkIndex) -> None:
    assert index.pid
    os.kill(index.pid, signal.SIGKILL)


async def test_a_kill_after_the_acknowledgement_loses_nothing(index: EdgeChunkIndex) -> None:
    maker = Maker()
    points = [maker.point(path=f"f{number}.py", ordinal=number) for number in range(700)]
    for start in range(0, 700, 100):
        await index.upsert(points[start : start + 100])
    kill(index)
    assert await stored_ids(index) == sorted(point.id for point in points)
    await index.retire("r1", {f"f{number}.py": None for number in range(350)}, before=1)
    kill(index)
    assert await stored_ids(index) == sorted(point.id for point in points[350:])


async def test_kills_at_random_moments_of_writing_lose_and_double_nothing(index: EdgeChunkIndex) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    moments, points = random.Random(seed), Maker(seed).many(6000, ["r1"])

    async def killer() -> None:
        for _ in range(5):
            await asyncio.sleep(moments.uniform(0.02, 0.2))
            if index.pid:
                kill(index)

    killing = asyncio.create_task(killer())
    for start in range(0, len(points), 600):
        while True:
            try:
                await index.upsert(points[start : start + 600])
                break
            except Unavailable:  # killed twice in one request: the event that asked for it comes again
                continue
    await killing
    kill(index)
    assert await stored_ids(index) == sorted(point.id for point in points)


async def test_a_child_that_died_is_started_by_the_next_search(index: EdgeChunkIndex) -> None:
    point = Maker().point()
    await index.upsert([point])
    before = index.pid
    kill(index)
    ((hit,),) = await index.search(scope("r1"), [DenseQuery(point.vector, 1)])
    assert hit.id == point.id
    assert index.pid != before
    assert await index.healthy()


async def test_a_caller_who_gives_up_does_not_stop_the_child(index: EdgeChunkIndex) -> None:
    points = Maker().many(500, ["r1"])
    writing = asyncio.create_task(index.upsert(points))
    before = index.pid
    await asyncio.sleep(0)
    asking = [asyncio.create_task(index.search(scope("r1"), [DenseQuery(points[0].vector, 5)])) for _ in range(5)]
    await asyncio.sleep(0.005)
    for task in (*asking, writing):
        task.cancel()
    await asyncio.gather(*asking, writing, return_exceptions=True)
    await index.upsert(points)
    assert index.pid == before
    assert len(await stored_ids(index)) == 500


async def test_searches_come_in_between_while_much_is_written_and_scanned(index: EdgeChunkIndex) -> None:
    points = Maker().many(10_000, ["r1"])
    await index.upsert(points[:1000])
    writing = asyncio.gather(index.upsert(points), stored_ids(index))
    slowest, searches = 0.0, 0
    while not writing.done():
        began = time.monotonic()
        await index.search(scope("r1"), [DenseQuery(points[0].vector, 5)])
        slowest, searches = max(slowest, time.monotonic() - began), searches + 1
    await writing
    assert searches >= 10
    assert slowest < 2.0


async def test_a_full_disk_is_said_and_search_goes_on(tmp_path: Path) -> None:
    index = EdgeChunkIndex(SPACE, tmp_path / "index")
    point = Maker().point()
    await index.upsert([point])
    await index.close()
    full = EdgeChunkIndex(SPACE, tmp_path / "index", reserve=shutil.disk_usage(tmp_path).total)
    with pytest.raises(Unavailable, match="disk is full") as failed:
        await full.upsert([point])
    assert failed.value.reason is Reason.DISK_FULL
    assert len((await full.search(scope("r1"), [DenseQuery(point.vector, 1)]))[0]) == 1
    await full.close()


async def test_files_that_cannot_be_read_are_named_with_the_cure(tmp_path: Path) -> None:
    index = EdgeChunkIndex(SPACE, tmp_path / "index", tmp_path / "log")
    await index.upsert([Maker().point()])
    await index.close()
    for file in (tmp_path / "index" / "shard" / "segments").rglob("*.json"):
        file.write_bytes(b"\0garbage")
    again = EdgeChunkIndex(SPACE, tmp_path / "index", tmp_path / "log")
    with pytest.raises(Unavailable, match=r"cannot be read; delete the folder and index again") as failed:
        await again.open()
    assert failed.value.reason is Reason.INDEX_UNAVAILABLE
    assert not await again.healthy()
    shutil.rmtree(tmp_path / "index")
    await again.open()
    assert await stored_ids(again) == []
    await again.close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    index = EdgeChunkIndex(SPACE, tmp_path / "file" / "index", tmp_path / "log")
    with pytest.raises(Unavailable, match="file/index"):
        await index.open()
    await index.close()


async def test_points_without_their_description_are_refused(index: EdgeChunkIndex, tmp_path: Path) -> None:
    await index.close()
    (tmp_path / "index" / "index.json").unlink()
    again = EdgeChunkIndex(SPACE, tmp_path / "index")
    with pytest.raises(Unavailable, match=r"index\.json is missing"):
        await again.open()
    await again.close()


async def test_an_index_of_another_profile_is_refused(index: EdgeChunkIndex, tmp_path: Path) -> None:
    await index.close()
    other = EdgeChunkIndex(IndexSpace("completion", ModelProfile("other@2", 16)), tmp_path / "index")
    with pytest.raises(Conflict, match=r"static/test@1.*index again") as refused:
        await other.open()
    assert refused.value.reason is Reason.INDEX_MISMATCH
    await other.close()


async def test_a_second_owner_is_told_who_has_it_and_the_first_goes_on(index: EdgeChunkIndex, tmp_path: Path) -> None:
    second = EdgeChunkIndex(SPACE, tmp_path / "index")
    with pytest.raises(Unavailable, match="open in another process"):
        await second.open()
    await index.upsert([Maker().point()])
    await index.close()
    await second.open()
    assert len(await stored_ids(second)) == 1
    await second.close()


def test_a_killed_owner_leaves_no_child(tmp_path: Path) -> None:
    program = f"""
import asyncio, pathlib
from nearcode.adapters.qdrant_edge import EdgeChunkIndex
from nearcode.domain.index import IndexSpace, ModelProfile
async def main():
    index = EdgeChunkIndex(IndexSpace("s", ModelProfile("p", 4)), pathlib.Path({str(tmp_path / "index")!r}))
    await index.open()
    print(index.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        child = int(owner.stdout.readline())
        owner.kill()
    wait_until(lambda: not psutil.pid_exists(child), 10, lambda: f"{child} still runs")


async def test_deleted_points_are_cleared_away_and_the_rest_is_still_found(index: EdgeChunkIndex) -> None:
    points = Maker().many(4000, ["r1", "r2"])
    await index.upsert(points)
    await index.drop("r1")
    assert await index.vacuum()
    left = sorted(point.id for point in points if point.chunk.repository == "r2")
    assert await stored_ids(index, "r2") == left
    await index.upsert(points[:10])
    kill(index)
    found = {*await stored_ids(index), *await stored_ids(index, "r2")}
    assert found == {*left, *(point.id for point in points[:10])}


def clustered(points: int) -> list[Point]:
    """Points as embedders make them: 256 dimensions, many alike."""
    numbers, maker = np.random.default_rng(5), Maker(space=WIDE)
    centers = numbers.standard_normal((40, 256))
    near = centers[numbers.integers(0, 40, points)] + 0.7 * numbers.standard_normal((points, 256))
    unit = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    return [replace(maker.point(ordinal=number), vector=vector) for number, vector in enumerate(unit)]


async def ten_nearest(index: EdgeChunkIndex, points: Sequence[Point], asked: int) -> None:
    """Asks for the ten nearest of so many points and compares them, and their scores, with the exact ones."""
    vectors = np.stack([point.vector for point in points])
    found = 0
    for question in vectors[:asked]:
        ((*hits,),) = await index.search(scope("r1"), [DenseQuery(question, 10)])
        scores = vectors @ question
        exact = {points[at].id: float(scores[at]) for at in np.argsort(-scores)[:10]}
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert all(hit.score == pytest.approx(exact[hit.id], abs=1e-5) for hit in hits if hit.id in exact)
        found += sum(hit.id in exact for hit in hits)
    assert found >= 0.995 * 10 * asked


async def test_the_ten_nearest_are_those_of_exact_search_though_vectors_are_compressed(tmp_path: Path) -> None:
    index, points = EdgeChunkIndex(WIDE, tmp_path / "index"), clustered(5000)
    await index.upsert(points)
    await ten_nearest(index, points, 100)
    paths = [replace(point, chunk=point.chunk._replace(path="gone.py")) for point in points[:2000]]
    await index.upsert(paths)
    await index.retire("r1", {"gone.py": None}, before=2)
    assert await index.vacuum()
    await ten_nearest(index, points[2000:], 50)
    await index.close()
    again = EdgeChunkIndex(WIDE, tmp_path / "index")
    await ten_nearest(again, points[2000:], 50)
    await again.close()


async def test_an_index_whose_vectors_were_not_compressed_is_still_searched(tmp_path: Path) -> None:
    index, points = EdgeChunkIndex(WIDE, tmp_path / "index"), clustered(500)
    await index.open()
    await index.close()
    shutil.rmtree(tmp_path / "index" / "shard")
    (tmp_path / "index" / "shard").mkdir()
    plain = edge.EdgeConfig(
        {layout.DENSE: edge.EdgeVectorParams(256, edge.Distance.Cosine)}, {layout.LEXICAL: edge.EdgeSparseVectorParams()}
    )
    edge.EdgeShard.create(str(tmp_path / "index" / "shard"), plain).close()
    await (older := EdgeChunkIndex(WIDE, tmp_path / "index")).upsert(points)
    await ten_nearest(older, points, 50)
    await older.close()
