"""Child processes: Python workers that answer over their pipes, and programs of others. All die with their parent.

Spawned, never forked (gRPC and threads do not survive a fork). A worker's code lives behind `serve`; its owner holds a
`Worker`, whose child may be killed at any time: the next call starts it again.

On Linux a child also dies with the *thread* that started it (PR_SET_PDEATHSIG): start children from the thread that runs the
event loop, and let that be one that lives as long as the process.
"""

import asyncio
import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nearcode.runtime.leash import die_with_parent

CLOSE_SECONDS = 10.0
"""How long a worker may finish what it is doing when it is closed."""

_LENGTH = struct.Struct("<Q")
_BUFFER = 2**24
"""Bytes of an answer that are buffered before the child has to wait: one batch of vectors."""
_PIPE = 2**20
"""Bytes of the pipe for answers: what a process may ask for without privileges."""
_PARENT = "NEARCODE_PARENT_PID"
LEASH = Path(__file__).with_name("leash.py")


class WorkerDied(Exception):
    """The worker process ended, or was killed, before it answered. `code`: its exit status, or minus the signal."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class WorkerFailed(Exception):
    """The worker answered with an exception; the text is its type and message."""


def leashed(program: Sequence[str]) -> list[str]:
    """The command line that runs a foreign program, named by its absolute path, so that it ends with this process."""
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *program]


class Worker:
    """Owner's side of a Python child process that answers one request at a time.

    `module` is run with `python -m` and must call `serve`. `log` receives what it writes to stderr (default: ours).
    Requests and answers are pickled: the child is our own code, over a pipe that nobody else can open.
    """

    def __init__(self, module: str, args: Sequence[str] = (), log: Path | None = None) -> None:
        self._module, self._args, self._log = module, args, log
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the child if it is not running, so that the first call finds it there."""
        async with self._turn:
            await self._start()

    async def call(self, request: Any, timeout: float | None = None) -> Any:
        """Sends a request and returns the answer. A call that is late or cancelled kills the child: its answer would be
        taken for the next call's. Raises WorkerDied, WorkerFailed, TimeoutError (seconds, counted from this call's turn)."""
        body = pickle.dumps(request, protocol=5)
        async with self._turn:
            try:
                async with asyncio.timeout(timeout):
                    failed, answer = await self._exchange(await self._start(), body)
            except BaseException:
                await self._kill()
                raise
        if failed:
            raise WorkerFailed(answer)
        return answer

    async def close(self) -> None:
        """Lets the child finish what it is doing, for ten seconds, then ends it for good; later calls raise WorkerDied."""
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                async with self._turn:
                    if self._process and self._process.stdin:
                        self._process.stdin.close()  # `serve` ends at the end of its input
                        await self._process.wait()
        except TimeoutError:
            self._signal()  # ends the running call, which frees its turn
            async with self._turn:
                await self._kill()

    async def _start(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise WorkerDied(f"{self._module} was closed")
        if self._process is None or self._process.returncode is not None:
            self._process = await self._spawn()
        return self._process

    async def _spawn(self) -> asyncio.subprocess.Process:
        if self._log:
            self._log.parent.mkdir(parents=True, exist_ok=True)
        stderr = self._log.open("ab") if self._log else None
        try:
            return await asyncio.create_subprocess_exec(
                # -P: a folder being indexed may be the current one, and must not lend its modules.
                sys.executable, "-P", "-m", self._module, *self._args,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
                env=_environment(), limit=_BUFFER,
                start_new_session=True,  # Ctrl-C in a terminal is for the owner, who closes his workers in order
            )  # fmt: skip
        finally:
            if stderr:
                stderr.close()

    async def _exchange(self, process: asyncio.subprocess.Process, body: bytes) -> tuple[bool, Any]:
        assert process.stdin and process.stdout
        try:
            process.stdin.writelines((_LENGTH.pack(len(body)), body))  # one system call
            await process.stdin.drain()
            (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            answer: tuple[bool, Any] = pickle.loads(await process.stdout.readexactly(length))
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            code = await process.wait()
            raise WorkerDied(f"{self._module} ended with {code}", code) from error
        return answer

    async def _kill(self) -> None:
        self._signal()
        if self._process and self._process.stdout:
            # asyncio tells the end of a process after the end of its pipes, which a full buffer would hide.
            while await self._process.stdout.read(_BUFFER):
                pass
            await self._process.wait()

    def _signal(self) -> None:
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):  # it ended by itself just now
                self._process.kill()


def _environment() -> Mapping[str, str]:
    return {**os.environ, _PARENT: str(os.getpid())}  # noqa: TID251 - the child inherits, nothing is read


def serve(handle: Callable[[Any], Any], prepare: Callable[[], None] = lambda: None) -> None:
    """The child's side: answers requests from stdin until it is closed, one at a time. `prepare` runs before the first of
    them, while the owner still starts. Call it from `__main__` only."""
    die_with_parent(int(os.environ[_PARENT]))  # noqa: TID251 - not a setting
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = os.fdopen(os.dup(0), "rb", buffering=2**20)
    answers = os.fdopen(os.dup(1), "wb", buffering=2**20)
    os.dup2(2, 1)  # a stray print must not break the frames
    _widen(answers.fileno())
    prepare()
    while len(head := requests.read(_LENGTH.size)) == _LENGTH.size:
        body = requests.read(_LENGTH.unpack(head)[0])
        answer = _answer(handle, body)
        answers.write(_LENGTH.pack(len(answer)))
        answers.write(answer)
        answers.flush()


def _widen(pipe: int) -> None:
    """Lets a pipe hold a whole answer, where the system allows it: else owner and child take turns every 64 KB."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


def _answer(handle: Callable[[Any], Any], body: bytes) -> bytes:
    try:
        return pickle.dumps((False, handle(pickle.loads(body))), protocol=5)
    except Exception as error:  # noqa: BLE001 - told to the owner as WorkerFailed, with the stack in the log
        traceback.print_tb(error.__traceback__)
        return pickle.dumps((True, f"{type(error).__name__}: {error}"), protocol=5)
