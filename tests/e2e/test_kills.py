"""kill -9 at any moment of an index: after a restart it equals a clean rebuild, and nothing is left running."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.engines import NEARCODE, Engine, environment, one_process, start
from tests.servers import wait_until

SEED = int(os.environ.get("KILL_TEST_SEED", "20261121"))
MOMENT = 12.0 if "KILL_TEST_CODE" in os.environ else 4.0
"""Seconds from an index's start to its end, about."""
PROCESSES = ("nearcode", "nats-server", "qdrant_edge_worker", "parser")


def corpus(folder: Path) -> Path:
    """A few hundred real files: the packages that the tests themselves use. Or a folder that KILL_TEST_CODE names."""
    if named := os.environ.get("KILL_TEST_CODE"):
        return Path(named)
    import click
    import hypothesis
    import rich

    for package in (click, rich, hypothesis):
        source = Path(package.__file__ or "").parent
        for file in sorted(source.rglob("*.py")):
            target = folder / source.name / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return folder


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module")
def clean(code: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digest of a clean index."""
    home = tmp_path_factory.mktemp("clean")
    return dict(Engine(home, environment(home)).json("index", str(code), "--json")[-1]["digest"])


def family(pid: int) -> dict[str, psutil.Process]:
    """The engine and its children by name; the first parser stands for all."""
    found = {"nearcode": psutil.Process(pid)}
    for child in psutil.Process(pid).children(recursive=True):
        line = " ".join(child.cmdline())
        for name in PROCESSES[1:]:
            if name in line:
                found.setdefault(name, child)
    return found


def index_and_kill(home: Path, code: Path, victim: str, moment: float) -> None:
    """Starts an engine and an index, kills one process after `moment` seconds of indexing and checks that no process of
    a killed engine is left."""
    env = environment(home)
    process, _ = start([*NEARCODE, "run", "--json"], env, home / "run.log")
    indexing = subprocess.Popen([*NEARCODE, "index", str(code)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(moment)
        everyone = psutil.Process(process.pid).children(recursive=True)
        target = family(process.pid).get(victim)
        if target:
            target.send_signal(signal.SIGKILL)
        if victim == "nearcode":
            wait_until(lambda: not any(one.is_running() for one in everyone), 10, lambda: f"left running: {everyone}")
    finally:
        indexing.kill()
        indexing.wait()
        process.kill()
        process.wait()
        wait_until(lambda: not any(one.is_running() for one in everyone), 10, lambda: f"left running: {everyone}")


def digest_after_restart(home: Path, code: Path) -> dict[str, str]:
    with one_process(home) as engine:
        return dict(engine.json("index", str(code), "--json")[-1]["digest"])


@pytest.mark.parametrize("victim", PROCESSES)
def test_each_process_may_be_killed_while_an_index_runs(victim: str, code: Path, clean: dict[str, str], tmp_path: Path) -> None:
    index_and_kill(tmp_path, code, victim, MOMENT / 3)
    assert digest_after_restart(tmp_path, code) == clean


@pytest.mark.full
def test_ten_random_kills(code: Path, clean: dict[str, str], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    for number in range(10):
        victim, moment = chance.choice(PROCESSES), chance.uniform(0.1, MOMENT)
        print(f"kill {number}: {victim} after {moment:.2f} s")
        home = tmp_path / str(number)
        home.mkdir()
        index_and_kill(home, code, victim, moment)
        assert digest_after_restart(home, code) == clean, f"seed {SEED}, kill {number}: {victim} after {moment:.2f} s"


def test_an_engine_that_lost_a_child_goes_on_by_itself(code: Path, clean: dict[str, str], tmp_path: Path) -> None:
    """Broker, index and parsers are started again by the engine; the index that was running ends as if nothing had been."""
    with one_process(tmp_path) as engine:
        indexing = subprocess.Popen(
            [*NEARCODE, "index", str(code), "--json"], env=engine.environment, stdout=subprocess.PIPE, text=True
        )
        for victim in PROCESSES[1:]:
            time.sleep(0.7)
            if target := family(engine.processes[0].pid).get(victim):
                target.send_signal(signal.SIGKILL)
        indexing.communicate(timeout=120)
        assert engine.json("index", str(code), "--json")[-1]["digest"] == clean


def test_ctrl_c_and_sigterm_leave_nothing_running(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process, _ = start([*NEARCODE, "run", "--json"], environment(tmp_path), tmp_path / "run.log")
        everyone = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
        assert not any(one.is_running() for one in everyone)
        assert not (tmp_path / "engine.json").exists()
