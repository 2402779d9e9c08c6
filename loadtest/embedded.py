"""An engine of our own to load: `nearcode run` on a temporary home, and how many cores its processes use."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from nearcode.auth.token import read_token

from loadtest.caller import Target

_LEFT_OUT = (".git", ".venv", "node_modules", "__pycache__", "*_pb2.py", "*.pyc")
_ROLES = {"embedded_model_server": "language model", "qdrant_edge_worker": "index", "nats-server": "events"}


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """A running engine."""

    process: "subprocess.Popen[str]"
    target: Target
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises RuntimeError when the engine has ended."""
        if (code := self.process.poll()) is not None:
            raise RuntimeError(f"the engine ended with {code}; the end of its log:\n{self.log.read_text()[-2000:]}")


def copy_of(code: Path, folder: Path) -> Path:
    """A copy of the code that may be changed."""
    return Path(shutil.copytree(code, folder / code.name, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True))


@contextmanager
def engine(home: Path, *, admission: bool, generate: bool) -> Iterator[EmbeddedEngine]:
    """`nearcode run` on TCP, where connections can be told apart; the index of an earlier one on the same home is kept."""
    home.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("NEARCODE_")}
    env |= {"NEARCODE_HOME": str(home), "NEARCODE_GATEWAY__LISTEN": "127.0.0.1:0"}
    env["NEARCODE_GATEWAY__ADMISSION"] = "true" if admission else "false"
    if not generate:
        env["NEARCODE_GENERATION__MODEL_PATH"] = str(home / "no-model.gguf")
    log = home / "run.log"
    with log.open("a") as errors:
        command = [sys.executable, "-m", "nearcode", "run", "--json"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the engine did not start; the end of its log:\n{log.read_text()[-2000:]}")
    try:
        yield EmbeddedEngine(process, Target(json.loads(line)["grpc"], read_token(home / "token")), log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Cores:
    """Cores that an engine's processes use, by their role, since this was made."""

    def __init__(self, pid: int) -> None:
        self._pid, self._began, self._before = pid, time.monotonic(), _cpu_seconds(pid)

    def used(self) -> dict[str, float]:
        seconds = time.monotonic() - self._began
        now = _cpu_seconds(self._pid)
        return {role: round((spent - self._before.get(role, 0.0)) / seconds, 2) for role, spent in sorted(now.items())}


def _cpu_seconds(pid: int) -> dict[str, float]:
    spent: dict[str, float] = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            line, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        role = next((role for word, role in _ROLES.items() if word in line), "parsers and others")
        role = "services" if process.pid == pid else role
        spent[role] = spent.get(role, 0.0) + times.user + times.system
    return spent
