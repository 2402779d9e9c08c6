"""Whoever is killed, nothing that he started stays behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from nearcode.runtime import leash

OWNER = """
import asyncio, subprocess, sys
from nearcode.runtime.child import Worker, leashed
async def main():
    worker = Worker("tests.integration.child_worker")
    program = subprocess.Popen(leashed([sys.argv[1], "3600"]))
    print(await worker.call(("pid", None)), program.pid, flush=True)
    if sys.argv[2] == "busy":
        await worker.call(("sleep", 3600))
    await asyncio.sleep(3600)
asyncio.run(main())
"""
ELSEWHERE = """
import runpy, sys
sys.platform = "darwin"
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the leash as it runs where no kernel does its work."""

SLEEP = shutil.which("sleep") or "/bin/sleep"


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_leaves_no_child(state: str, how: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, SLEEP, state],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert owner.stdout
    children = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(children) == 2 and not any(map(gone, children))
    owner.send_signal(how)
    owner.wait(10)
    wait_until(lambda: all(map(gone, children)))


def test_a_child_whose_owner_is_already_gone_does_not_start() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    child = subprocess.run([sys.executable, leash.__file__, str(dead.pid), SLEEP, "3600"], timeout=10, check=False)
    assert child.returncode == 1


def test_a_leashed_program_keeps_its_exit_code_and_its_process_id() -> None:
    program = subprocess.Popen(
        [sys.executable, leash.__file__, str(os.getpid()), sys.executable, "-c", "import os; print(os.getpid()); os._exit(7)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout
    assert int(program.stdout.read()) == program.pid
    assert program.wait(10) == 7


def elsewhere(parent: int) -> list[str]:
    return [sys.executable, "-c", ELSEWHERE, leash.__file__, str(parent), SLEEP, "3600"]


def test_where_the_kernel_does_not_help_a_watcher_ends_the_program() -> None:
    not_the_parent = os.getppid()  # as if the real one had ended
    assert subprocess.run(elsewhere(not_the_parent), timeout=10, check=False).returncode != 0


def test_where_the_kernel_does_not_help_ending_the_watcher_ends_the_program() -> None:
    supervisor = subprocess.Popen(elsewhere(os.getpid()))
    watcher = psutil.Process(supervisor.pid)
    wait_until(lambda: any(child.name() == "sleep" for child in watcher.children()))
    (child,) = watcher.children()
    supervisor.terminate()
    wait_until(lambda: gone(child.pid))
    supervisor.wait(10)
