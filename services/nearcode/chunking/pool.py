"""Parser processes that share out files; a file that kills one is cut by lines, and no other file suffers."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from opentelemetry import trace

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.chunking.observer import ParserObserver
from nearcode.chunking.windows import cut_by_lines
from nearcode.domain.repository import FileVersion
from nearcode.runtime.child import Worker, WorkerDied, WorkerFailed
from nearcode.telemetry import conventions
from nearcode.telemetry.spans import spanned

tracer = trace.get_tracer("nearcode.chunking")

Source = tuple[FileVersion, bytes]

_CALL_FILES = 32
_CALL_BYTES = 256 * 1024
"""Per call: some 50 ms of parsing, so that a call's cost (0.2 ms) is lost in it and the workers stay evenly busy."""

_ATTEMPTS = 3
"""Deaths of its parser until a file takes the blame: somebody else may have killed it (out of memory, a stop)."""

_OUT_OF_TIME = "parser ran out of time"
_CRASHED = "parser crashed"


class ParserPool:
    """`workers` processes, started when first needed. `cpu_seconds` is what one file may take; `wall_seconds` for one call
    is a last resort against a process that hangs without working. `log` receives what they write to stderr."""

    def __init__(
        self,
        workers: int,
        cpu_seconds: float,
        wall_seconds: float,
        log: Path | None = None,
        observer: ParserObserver | None = None,
    ) -> None:
        self._observer = observer or ParserObserver()
        self._workers = [Worker("nearcode.chunking.parser", [str(cpu_seconds)], log) for _ in range(workers)]
        self._wall_seconds = wall_seconds
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    @property
    def pids(self) -> list[int]:
        """Process ids of the parsers that run now."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    async def outline(self, files: Sequence[Source], shape: str = "definitions") -> list[FileOutline]:
        """Outlines of files, in their order, `file` filled in; `shape` names one of shapes.py. Never fails because of what a
        file holds."""
        with spanned(tracer, "parse", {conventions.FILES: len(files)}):
            groups = await asyncio.gather(*(self._group(group, shape) for group in _groups(files)))
        return [outline for group in groups for outline in group]

    async def close(self) -> None:
        """Ends the processes."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    async def _group(self, files: Sequence[Source], shape: str) -> list[FileOutline]:
        try:
            return await self._call(files, shape)
        except (WorkerDied, WorkerFailed, TimeoutError):
            return [await self._alone(file, shape) for file in files]

    async def _alone(self, file: Source, shape: str) -> FileOutline:
        """One file by itself, so that it is known which one kills the parser."""
        reason = _CRASHED
        for _ in range(_ATTEMPTS):
            try:
                return (await self._call([file], shape))[0]
            except TimeoutError:
                reason = _OUT_OF_TIME
                break
            except WorkerDied as death:
                if _out_of_time(death):
                    reason = _OUT_OF_TIME
                    break
            except WorkerFailed as failure:
                reason = f"parser failed: {failure}"[:200]
                break
        version, source = file
        return _of(version, await asyncio.to_thread(cut_by_lines, version.path, source, reason))

    async def _call(self, files: Sequence[Source], shape: str) -> list[FileOutline]:
        worker = await self._idle.get()
        began = time.monotonic()
        try:
            answers = await worker.call((shape, [(version.path, source) for version, source in files]), self._wall_seconds)
        except (WorkerDied, TimeoutError) as error:
            late = isinstance(error, TimeoutError) or (isinstance(error, WorkerDied) and _out_of_time(error))
            self._observer.restarted("late" if late else "crashed")
            raise
        finally:
            self._idle.put_nowait(worker)
        self._observer.parsed(len(files), time.monotonic() - began)
        return [_of(file[0], FileOutline.FromString(answer)) for file, answer in zip(files, answers, strict=True)]


def _out_of_time(death: WorkerDied) -> bool:
    """Whether a parser ended because a file took all of its CPU seconds."""
    return sys.platform != "win32" and death.code == -signal.SIGPROF


def _of(version: FileVersion, outline: FileOutline) -> FileOutline:
    outline.file.path, outline.file.blob, outline.file.size = version.path, version.blob, version.size
    return outline


def _groups(files: Sequence[Source]) -> Iterator[list[Source]]:
    group: list[Source] = []
    room = _CALL_BYTES
    for file in files:
        if group and (len(group) == _CALL_FILES or len(file[1]) > room):
            yield group
            group, room = [], _CALL_BYTES
        group.append(file)
        room -= len(file[1])
    if group:
        yield group
