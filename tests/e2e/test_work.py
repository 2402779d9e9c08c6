"""First indexes in Jobs: nobody works on them until `nearcode work` does, several at once, whatever is killed meanwhile."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import StreamState
from nearcode.domain.address import Address
from nearcode.domain.repository import repository_id

from tests.e2e.shop import write_shop
from tests.engines import Engine, environment, process_per_service
from tests.servers import eventually

SECONDS = 120.0
JOBS = {
    "NEARCODE_EVENTS__BULK": "false",
    "NEARCODE_INGESTION__BULK_PARTS": "0",  # everything is a large backlog
    "NEARCODE_INGESTION__PART_FILES": "2",
    "NEARCODE_INGESTION__WATCH": "false",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Services that leave first indexes to Jobs."""
    with process_per_service(tmp_path_factory.mktemp("home"), None, **JOBS) as engine:
        yield engine


def real_code(folder: Path) -> Path:
    """Some 80 real files."""
    import rich

    source = Path(rich.__file__ or "").parent
    shutil.copytree(source, folder, ignore=lambda where, names: [name for name in names if name == "__pycache__"])
    return folder


def id_of(folder: Path) -> str:
    return repository_id(Address.parse(folder.resolve().as_uri()).url)


def clean_digest(folder: Path, home: Path) -> dict[str, str]:
    """What a plain engine makes of the folder."""
    return dict(Engine(home, environment(home)).json("index", str(folder), "--json")[-1]["digest"])


async def bulk(engine: Engine) -> StreamState:
    client = await nats.connect(engine.environment["NEARCODE_EVENTS__URL"])
    try:
        return (await client.jetstream().stream_info("bulk")).state
    finally:
        await client.close()


async def queued(engine: Engine, parts: int) -> None:
    async def there() -> bool:
        return (await bulk(engine)).messages >= parts

    await eventually(there, SECONDS, "the parts of the first index were not queued")


async def consumers(engine: Engine) -> set[str]:
    client = await nats.connect(engine.environment["NEARCODE_EVENTS__URL"])
    try:
        return {each.name for each in await client.jetstream().consumers_info("bulk")}
    finally:
        await client.close()


def ended(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    """How a command ended, and the last line that it printed."""
    out, _ = process.communicate(timeout=SECONDS)
    return process.returncode, json.loads(out.splitlines()[-1])


async def test_a_first_index_waits_for_its_job_and_two_pods_finish_it(engine: Engine, tmp_path: Path) -> None:
    code = real_code(tmp_path / "code")
    index = engine.begin("index", str(code), "--json")
    await queued(engine, 20)
    assert await consumers(engine) == {"bulk-local-indexed"}  # no standing worker works on it
    assert index.poll() is None
    pods = [engine.work(id_of(code), 1) for _ in range(2)]
    (returned, result), *ends = map(ended, (index, *pods))
    assert returned == 0
    assert [(code, end["ended"]) for code, end in ends] == [(0, "served")] * 2
    assert result["digest"] == clean_digest(code, tmp_path / "clean")
    assert await consumers(engine) == {"bulk-local-indexed"}  # the Job's went with it
    assert (await bulk(engine)).messages == 0
    assert ended(engine.work(id_of(code), 1)) == (0, {"ended": "served", "seconds": pytest.approx(5, abs=60)})  # once more


async def test_a_killed_pod_and_a_stopped_one_lose_nothing(engine: Engine, tmp_path: Path) -> None:
    code = real_code(tmp_path / "code")
    index = engine.begin("index", str(code), "--json")
    await queued(engine, 20)
    for how in (signal.SIGKILL, signal.SIGTERM):
        pod = engine.work(id_of(code), 1)
        assert pod.stdout
        before = json.loads(pod.stdout.readline())  # it is in the middle of it
        assert sum(before.values()) > 0
        pod.send_signal(how)
        pod.communicate(timeout=30)
        assert pod.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143}[how]
    assert index.poll() is None
    assert ended(engine.work(id_of(code), 1))[0] == 0
    returned, result = ended(index)
    assert returned == 0
    assert result["digest"] == clean_digest(code, tmp_path / "clean")


async def test_what_a_superseded_generation_left_is_drained(engine: Engine, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop")
    first = engine.begin("index", str(shop), "--json")
    await queued(engine, 2)
    left = (await bulk(engine)).messages
    (shop / "shop" / "gifts.py").write_text("def wrap(gift):\n    return ('paper', gift)\n")
    second = engine.begin("index", str(shop), "--json")
    await queued(engine, left + 3)
    assert ended(engine.work(id_of(shop), 1)) == (0, {"ended": "superseded", "seconds": pytest.approx(5, abs=60)})
    assert ended(engine.work(id_of(shop), 2))[1]["ended"] == "served"
    for index in (first, second):
        returned, result = ended(index)
        assert (returned, result["files"]) == (0, 5)  # the README is no code
    assert (await bulk(engine)).messages == 0
    assert result["digest"] == clean_digest(shop, tmp_path / "clean")


def test_a_job_for_a_repository_that_is_gone_ends(engine: Engine) -> None:
    assert ended(engine.work("r" + "0" * 20, 1))[1]["ended"] == "gone"


def test_what_a_job_needs_is_named(tmp_path: Path) -> None:
    alone = Engine(tmp_path, environment(tmp_path, NEARCODE_EVENTS__URL="nats://127.0.0.1:1"))
    result = alone.command("work", "r" + "0" * 20, "--generation", "1", check=False)
    assert result.returncode == 2
    assert "set index.url" in result.stderr
    assert "no id of a repository" in alone.command("work", "shop", "--generation", "1", check=False).stderr
