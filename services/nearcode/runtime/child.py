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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Child:
    """A running process. `reading`: whose answer is next; answers come in the order of the requests. `spoiled`: killed with an
    answer on its way, which must not be taken for another's."""

    process: asyncio.subprocess.Process
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    spoiled: bool = False

    @property
    def runs(self) -> bool:
        return not self.spoiled and self.process.returncode is None

    def kill(self) -> None:
        self.spoiled = True
        if self.process.returncode is None:
            with suppress(ProcessLookupError):  # it ended by itself just now
                self.process.kill()


class Worker:
    """Owner's side of a Python child process that answers one request at a time.

    `module` is run with `python -m` and must call `serve`. `log` receives what it writes to stderr (default: ours). `ahead`:
    requests that are sent before the first of them is answered, so that the child need not wait for the next.
    Requests and answers are pickled: the child is our own code, over a pipe that nobody else can open.
    """

    def __init__(self, module: str, args: Sequence[str] = (), log: Path | None = None, ahead: int = 1) -> None:
        self._module, self._args, self._log, self.ahead = module, args, log, ahead
        self._child: _Child | None = None
        self._room = asyncio.Semaphore(ahead)
        self._starting, self._closing = asyncio.Lock(), asyncio.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.process.pid if self._child and self._child.runs else None

    async def start(self) -> None:
        """Starts the child if it is not running, so that the first call finds it there."""
        await self._start()

    async def call(self, request: Any, timeout: float | None = None) -> Any:
        """Sends a request and returns the answer. A call that is late or cancelled kills the child: its answer would be
        taken for the next call's; those sent `ahead` beside it die with it. Raises WorkerDied, WorkerFailed, TimeoutError
        (seconds, counted from this call's turn)."""
        body = pickle.dumps(request, protocol=5)
        async with self._room:
            child = None
            try:
                async with asyncio.timeout(timeout):
                    child = await self._start()
                    failed, answer = await self._exchange(child, body)
            except BaseException:
                await self._kill(child)
                raise
        if failed:
            raise WorkerFailed(answer)
        return answer

    async def close(self) -> None:
        """Lets the child finish what it is doing, for ten seconds, then ends it for good; later calls raise WorkerDied."""
        self._closed = True
        async with self._closing:
            try:
                async with asyncio.timeout(CLOSE_SECONDS), self._alone():
                    if self._child and self._child.process.stdin:
                        self._child.process.stdin.close()  # `serve` ends at the end of its input
                        await self._child.process.wait()
            except TimeoutError:
                if self._child:
                    self._child.kill()  # ends the running calls, which frees their turns
                async with self._alone():
                    await self._kill(self._child)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Nobody else calls meanwhile."""
        async with AsyncExitStack() as turns:
            for _ in range(self.ahead):
                await turns.enter_async_context(self._room)
            yield

    async def _start(self) -> _Child:
        async with self._starting:
            if self._closed:
                raise WorkerDied(f"{self._module} was closed")
            if self._child is None or not self._child.runs:
                self._child = _Child(await self._spawn())
            return self._child

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

    async def _exchange(self, child: _Child, body: bytes) -> tuple[bool, Any]:
        requests, answers = child.process.stdin, child.process.stdout
        assert requests and answers
        try:
            requests.writelines((_LENGTH.pack(len(body)), body))  # one system call
            async with child.reading:
                if child.spoiled:
                    raise WorkerDied(f"{self._module} was killed")
                await requests.drain()
                (length,) = _LENGTH.unpack(await answers.readexactly(_LENGTH.size))
                answer: tuple[bool, Any] = pickle.loads(await answers.readexactly(length))
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            code = await child.process.wait()
            raise WorkerDied(f"{self._module} ended with {code}", code) from error
        except BaseException:
            child.kill()  # at once: whoever reads next must not take what is left of this answer for his
            raise
        return answer

    async def _kill(self, child: _Child | None) -> None:
        """Ends a child; nobody starts another meanwhile."""
        if child is None:
            return
        child.kill()
        async with self._starting:
            async with child.reading:
                # asyncio tells the end of a process after the end of its pipes, which a full buffer would hide.
                while child.process.stdout and await child.process.stdout.read(_BUFFER):
                    pass
            await child.process.wait()


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
