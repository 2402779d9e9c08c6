"""Child processes: Python workers that answer over their pipes, and programs of others. All die with their parent.

Spawned, never forked (gRPC and threads do not survive a fork). A worker's code lives behind `serve`; its owner holds a
`Worker`, may kill it at any time, and starts it again by the next call.
"""

import asyncio
import os
import pickle
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nearcode.runtime.leash import die_with_parent

_LENGTH = struct.Struct("<Q")
_PARENT = "NEARCODE_PARENT_PID"
LEASH = Path(__file__).with_name("leash.py")


class WorkerDied(Exception):
    """The worker process ended, or was killed, before it answered."""


class WorkerFailed(Exception):
    """The worker answered with an exception; the text is its type and message."""


def leashed(program: Sequence[str]) -> list[str]:
    """The command line that runs a foreign program so that it ends with this process."""
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

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the child if it is not running."""
        if self.pid is not None:
            return
        stderr = self._log.open("ab") if self._log else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, *self._args,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
                env=_environment(), limit=2**24,
            )  # fmt: skip
        finally:
            if stderr:
                stderr.close()

    async def call(self, request: Any, timeout: float | None = None) -> Any:
        """Sends a request and returns the answer. A call that is late or cancelled kills the child: its answer would be
        taken for the next call's. Raises WorkerDied, WorkerFailed, TimeoutError (seconds)."""
        async with self._turn:
            await self.start()
            try:
                async with asyncio.timeout(timeout):
                    failed, answer = await self._exchange(request)
            except BaseException:
                await self._kill()
                raise
        if failed:
            raise WorkerFailed(answer)
        return answer

    async def _exchange(self, request: Any) -> tuple[bool, Any]:
        process = self._process
        assert process and process.stdin and process.stdout
        body = pickle.dumps(request, protocol=5)
        try:
            process.stdin.write(_LENGTH.pack(len(body)))
            process.stdin.write(body)
            await process.stdin.drain()
            (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            answer: tuple[bool, Any] = pickle.loads(await process.stdout.readexactly(length))
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise WorkerDied(f"{self._module} ended with {await process.wait()}") from error
        return answer

    async def _kill(self) -> None:
        if self.pid is not None and self._process:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Lets the child finish what it is doing, then ends it."""
        if self.pid is None or not self._process or not self._process.stdin:
            return
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            await self._kill()


def _environment() -> Mapping[str, str]:
    return {**os.environ, _PARENT: str(os.getpid())}  # noqa: TID251 - the child inherits, nothing is read


def serve(handle: Callable[[Any], Any]) -> None:
    """The child's side: answers requests from stdin until it is closed, one at a time. Call it from `__main__` only."""
    die_with_parent(int(os.environ[_PARENT]))  # noqa: TID251 - not a setting
    requests = os.fdopen(os.dup(0), "rb", buffering=2**20)
    answers = os.fdopen(os.dup(1), "wb", buffering=2**20)
    os.dup2(2, 1)  # a stray print must not break the frames
    while head := requests.read(_LENGTH.size):
        if len(head) < _LENGTH.size:
            return
        request = pickle.loads(requests.read(_LENGTH.unpack(head)[0]))
        try:
            answer = (False, handle(request))
        except Exception as error:  # noqa: BLE001 - told to the owner as WorkerFailed
            answer = (True, f"{type(error).__name__}: {error}")
        body = pickle.dumps(answer, protocol=5)
        answers.write(_LENGTH.pack(len(body)))
        answers.write(body)
        answers.flush()
