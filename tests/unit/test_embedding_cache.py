"""Vectors remembered on disk."""

from pathlib import Path

import numpy as np
import pytest
from nearcode.adapters.vector_cache import VectorCache
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.embedding.cached import CachedEmbedder, content_key
from nearcode.telemetry.structured import structured_logger
from structlog.testing import capture_logs

from tests.unit.memory_embedding import LengthEmbedder


@pytest.fixture(autouse=True)
def configured_logs() -> None:
    """The first line that is logged configures the logs, which would undo their capture."""
    structured_logger("tests")


FILES = [FileTexts("a/b.py", ("one", "three")), FileTexts("c.py", ("four!", "")), FileTexts("d.py", ())]


async def test_what_was_embedded_before_has_the_same_bytes_and_is_not_embedded_again(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "new" / "vectors.sqlite", 2**20)
    embedder = LengthEmbedder()
    cached = CachedEmbedder(embedder, cache)
    first = await cached.embed_files(FILES)
    again = await cached.embed_files([FILES[1], FILES[0], FileTexts("e.py", ("new",))])
    await cache.close()
    assert embedder.embedded == ["a/b.py", "c.py", "d.py", "e.py"]
    assert [array.tobytes() for array in again[:2]] == [first[1].tobytes(), first[0].tobytes()]


async def test_vectors_outlive_the_process(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 2**20)
    await cache.put({b"key": b"vectors"})
    await cache.close()
    other = VectorCache(tmp_path / "vectors.sqlite", 2**20)
    assert await other.get([b"key", b"none"]) == {b"key": b"vectors"}
    await other.close()


async def test_the_same_content_twice_in_a_batch_is_embedded_once(tmp_path: Path) -> None:
    cache, embedder = VectorCache(tmp_path / "vectors.sqlite", 2**20), LengthEmbedder()
    one, other = await CachedEmbedder(embedder, cache).embed_files([FILES[0], FILES[0]])
    await cache.close()
    assert one.tobytes() == other.tobytes() and embedder.embedded == ["a/b.py"]


async def test_vectors_that_are_not_finite_are_not_remembered(tmp_path: Path) -> None:
    cache, embedder = VectorCache(tmp_path / "vectors.sqlite", 2**20), LengthEmbedder()
    cached = CachedEmbedder(embedder, cache)
    for _ in range(2):
        [array] = await cached.embed_files([FileTexts("a.py", ("not a number",))])
        assert np.isnan(array).any()
    await cache.close()
    assert embedder.embedded == ["a.py", "a.py"]


def test_a_key_depends_on_all_that_a_vector_depends_on() -> None:
    profile = ModelProfile("m", 2)
    keys = {
        content_key(profile, FileTexts("a/b.py", ("x", "y"))),
        content_key(profile, FileTexts("a/c.py", ("x", "y"))),
        content_key(profile, FileTexts("a/b.py", ("y", "x"))),
        content_key(profile, FileTexts("a/b.py", ("xy",))),
        content_key(profile, FileTexts("a/b.py", ("x", "y", ""))),
        content_key(ModelProfile("n", 2), FileTexts("a/b.py", ("x", "y"))),
        content_key(ModelProfile("m", 3), FileTexts("a/b.py", ("x", "y"))),
    }
    assert len(keys) == 7
    assert content_key(profile, FileTexts("a/b.py", ("x",))) == content_key(profile, FileTexts("a/b.pyi", ("x",)))


async def test_the_file_stays_below_its_limit_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 100_000)
    data = bytes(range(250)) * 20
    await cache.put({b"kept": data})
    for number in range(100):
        await cache.put({b"%d" % number: data})
        assert await cache.get([b"kept"]) == {b"kept": data}
    found = await cache.get([b"%d" % number for number in range(100)])
    await cache.close()
    assert b"0" not in found and b"99" in found
    assert sum(map(len, found.values())) <= 100_000
    assert (tmp_path / "vectors.sqlite").stat().st_size < 300_000


async def test_putting_again_replaces(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 2**20)
    await cache.put({b"key": b"old"})
    await cache.put({b"key": b"new"})
    assert await cache.get([b"key"]) == {b"key": b"new"}
    await cache.close()


@pytest.mark.parametrize("damage", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_file_is_set_aside_with_a_warning(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(damage)
    cache = VectorCache(path, 2**20)
    with capture_logs() as logs:
        await cache.put({b"key": b"vectors"})
    assert await cache.get([b"key"]) == {b"key": b"vectors"}
    await cache.close()
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("warning", "the vector cache is damaged and begins anew")
    ]
    assert (tmp_path / "vectors.sqlite.damaged").read_bytes() == damage


async def test_vectors_that_changed_on_disk_are_embedded_anew(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    cache = VectorCache(path, 2**20)
    await cache.put({b"key": b"0123456789" * 10})
    await cache.close()
    data = path.read_bytes()
    assert b"0123456789" in data
    path.write_bytes(data.replace(b"0123456789", b"0123456780", 1))
    cache = VectorCache(path, 2**20)
    assert await cache.get([b"key"]) == {}
    await cache.close()


async def test_a_disk_that_takes_nothing_turns_the_cache_off_with_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    embedder = LengthEmbedder()
    cache = VectorCache(tmp_path / "file" / "vectors.sqlite", 2**20)
    with capture_logs() as logs:
        vectors = [await CachedEmbedder(embedder, cache).embed_files(FILES) for _ in range(2)]
    await cache.close()
    assert [array.tobytes() for array in vectors[0]] == [array.tobytes() for array in vectors[1]]
    assert [entry["event"] for entry in logs] == ["vectors are not cached until the next start"]


async def test_a_full_disk_turns_the_cache_off_and_keeps_what_it_holds(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 2**30)
    await cache.put({b"key": b"vectors"})
    await cache._run(lambda database: database.execute("PRAGMA max_page_count = 10"))
    with capture_logs() as logs:
        await cache.put({b"large": bytes(1_000_000)})
    assert [entry["event"] for entry in logs] == ["vectors are not cached until the next start"]
    assert await cache.get([b"key"]) == {}
    await cache.close()
    other = VectorCache(tmp_path / "vectors.sqlite", 2**30)
    assert await other.get([b"key", b"large"]) == {b"key": b"vectors"}
    await other.close()


async def test_a_limit_of_nothing_keeps_no_file(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "vectors.sqlite", 0)
    await CachedEmbedder(LengthEmbedder(), cache).embed_files(FILES)
    await cache.close()
    assert not (tmp_path / "vectors.sqlite").exists()


async def test_a_question_is_embedded_as_without_a_cache(tmp_path: Path) -> None:
    cached = CachedEmbedder(LengthEmbedder(), VectorCache(tmp_path / "vectors.sqlite", 2**20))
    assert np.array_equal(await cached.embed_query("abc", {}), await LengthEmbedder().embed_query("abc", {}))
