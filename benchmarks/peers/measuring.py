"""Processes measured from outside: wall time, what they print, the memory of all of them together, bytes on disk."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.1
"""Seconds between two looks at the memory: a look takes about 3 ms."""
GENERATOR = "embedded_model_server"
"""Part of the command of nearcode's language model. It writes answers and finds nothing, so its memory is left out."""
STOP_SECONDS = 30.0


class Failed(Exception):
    """A tool that did not answer, with the end of what it said on stderr."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a process ran: seconds from its start to its end, its stdout, and the most memory if that was watched, in MB."""

    seconds: float
    output: str
    peak: float


def run(command: Sequence[str], folder: Path, env: Mapping[str, str], good: frozenset[int], every: float = 0.0) -> Run:
    """Runs a command in a folder, looking at its memory `every` so many seconds. Raises Failed."""
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=nothing, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace"
    ) as process:
        watch = Watch([process.pid], every) if every else None
        output, errors = process.communicate()
        seconds = time.perf_counter() - began
        peak = watch.stop() if watch else 0.0
    if process.returncode not in good:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {errors.strip()[-500:]}")
    return Run(seconds, output, peak)


class Session:
    """A process that answers a question a line. Use as a context manager; `ask` raises Failed when it has ended."""

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self._command = command
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the session
        self._process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, encoding="utf-8"
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, question: str) -> tuple[float, str]:
        """Milliseconds from writing the question to having read the answer, and the answer."""
        assert self._process.stdin and self._process.stdout
        began = time.perf_counter()
        self._process.stdin.write(question.replace("\n", " ") + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        took = (time.perf_counter() - began) * 1e3
        if not answer:
            self._errors.seek(0)
            raise Failed(f"{' '.join(self._command)} gave no answer: {self._errors.read().strip()[-500:]}")
        return took, answer

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        ended(self._process)
        self._process.stdout.close()
        self._errors.close()


def ended(process: subprocess.Popen[str]) -> None:
    """Waits for a process that was told to stop; ends it if it does not."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Watch:
    """Looks at the memory of processes and their descendants until it is stopped."""

    def __init__(self, pids: Sequence[int], every: float = EVERY) -> None:
        self._pids, self._every, self._peak = pids, every, 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The most memory of all the processes at one moment, in MB."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while True:
            self._peak = max(self._peak, memory(self._pids))
            if self._stopped.wait(self._every):
                return


def memory(pids: Sequence[int]) -> float:
    """MB in use now: PSS, which counts shared pages once, or RSS where a system does not tell."""
    total = 0.0
    for pid in pids:
        try:
            one = psutil.Process(pid)
            for process in (one, *one.children(recursive=True)):
                total += _of(process)
        except psutil.Error:
            continue
    return total / 1e6


def _of(process: psutil.Process) -> float:
    try:
        if any(GENERATOR in word for word in process.cmdline()):
            return 0.0
        return float(process.memory_full_info().pss if psutil.LINUX else process.memory_info().rss)
    except (psutil.Error, OSError):  # it has just ended
        return 0.0


def on_disk(folder: Path) -> float:
    """MB that the files below a folder take, as allocated: holes cost nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            told = os.lstat(os.path.join(parent, name))
            total += told.st_blocks * 512 if hasattr(told, "st_blocks") else told.st_size
    return total / 1e6
