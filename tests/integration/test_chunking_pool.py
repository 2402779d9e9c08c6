"""Parser processes may die of a file, or of somebody's kill: only that file is cut by lines, and nothing stays behind."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import psutil
import pytest
from nearcode.api.repositories.v1.repositories_pb2 import FILE_STATE_INDEXED
from nearcode.chunking.outline import outline
from nearcode.chunking.pool import ParserPool, Source
from nearcode.domain.repository import FileVersion, blob_id

from tests.corpus import hostile


def file_of(path: str, source: bytes) -> Source:
    return FileVersion(path, blob_id(source), len(source)), source


def honest(count: int) -> list[Source]:
    return [
        file_of(f"m{number}.py", f"def f_{number}(x):\n    return {number}\n\n\nclass C:\n    a = 1\n".encode())
        for number in range(count)
    ]


@pytest.fixture
async def pool() -> AsyncIterator[ParserPool]:
    parsers = ParserPool(2, cpu_seconds=1.0, wall_seconds=60.0)
    yield parsers
    pids = parsers.pids
    await parsers.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def test_files_are_outlined_as_if_by_one_process_in_their_order(pool: ParserPool) -> None:
    files = honest(150)
    found = await pool.outline(files)
    assert [item.file.path for item in found] == [version.path for version, _ in files]
    for item, (version, source) in zip(found, files, strict=True):
        assert item.file.blob == version.blob and item.file.size == len(source)
        assert item.chunks == outline(version.path, source).chunks
    assert len(pool.pids) == 2


async def test_a_megabyte_of_noise_runs_out_of_time_and_only_it(pool: ParserPool) -> None:
    noise = file_of("noise.c", hostile.random_text(1_000_000))
    files = [*honest(10), noise, *honest(10)]
    began = time.monotonic()
    found = await pool.outline(files)
    assert time.monotonic() - began < 60
    assert found[10].state == FILE_STATE_INDEXED and found[10].reason == "parser ran out of time"
    assert {chunk.kind for chunk in found[10].chunks} == {"lines"}
    assert all(
        not item.reason and {chunk.kind for chunk in item.chunks} == {"function", "class"} for item in found[:10] + found[11:]
    )


async def test_hostile_files_are_all_answered(pool: ParserPool) -> None:
    sources = {**hostile.nested_parentheses(), **hostile.deep_without_brackets()}
    files = [file_of(path, source) for path, source in sources.items()]
    files += [file_of(f"lines-{path}", hostile.in_lines(source)) for path, source in sources.items()]
    files += [file_of("bytes.c", hostile.random_bytes(1_000_000)), file_of("nul.py", b"\0"), file_of("empty.py", b"")]
    files += honest(5)
    found = await pool.outline(files)
    assert len(found) == len(files)
    assert all(item.state == FILE_STATE_INDEXED or item.reason for item in found)
    assert [len(item.chunks) for item in found[-5:]] == [2] * 5


async def test_a_killed_parser_costs_no_file_anything(pool: ParserPool) -> None:
    files = [file_of(f"m{number}.py", b"def f():\n    return [1, 2, 3]\n\n\n" * 2_000) for number in range(40)]
    await pool.outline(files[:1])
    work = asyncio.create_task(pool.outline(files))
    for _ in range(3):
        before = pool.pids
        while not before:
            await asyncio.sleep(0.005)
            before = pool.pids
        os.kill(before[0], signal.SIGKILL)
        await asyncio.sleep(0.1)
    found = await work
    assert [(item.reason, len(item.chunks)) for item in found] == [("", 2_000)] * len(files)


async def test_a_file_that_always_kills_its_parser_takes_the_blame() -> None:
    pool = ParserPool(1, cpu_seconds=0.0005, wall_seconds=60.0)  # less than any parse takes
    try:
        found = await pool.outline([file_of("a.py", b"def f():\n    return 1\n\n\n" * 20_000)])
    finally:
        await pool.close()
    assert found[0].reason == "parser ran out of time" and found[0].chunks[0].kind == "lines"
