"""A transformer embedder on this machine's processor: an ONNX model in a child process, behind or beside everything else."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.runtime.child import Worker, WorkerDied, WorkerFailed

TEXTS_A_THREAD = 3
"""Texts of one request to the child and each of its threads: about 170 ms with a model of 33 M parameters and 256 tokens. For
so long an idle embedder goes on when it is paused."""
MOST_THREADS = 4
"""More cores are not taken unasked. Each thread takes about 25 MB."""
KILL_AFTER = 60.0
"""Seconds after which a child is taken for hung: a request takes 0.2 s, the first one with the loading of the model 1 s."""
KILL_IDLE_AFTER = 1200.0
"""The same for an idle embedder, which gets a three-hundredth of a processor that others keep busy."""
FILES = "model.onnx", "tokenizer.json"

_MODULE = "nearcode.adapters.onnx_worker"
_POOLINGS = ("cls", "mean", "last")
_log = logging.getLogger(__name__)


class OnnxEmbedder:
    """Implements `Embedder` with the model in `folder` (`model.onnx`, `tokenizer.json`).

    `log` receives what the child writes. `threads`: texts embedded at once; 0: one a core, at most four, or all cores but one
    for an idle embedder. `idle`: files are embedded at the lowest CPU and I/O priority, and not at all while it is paused or
    answers a question; questions have a child of normal priority, started with the first one (another 140 MB).
    `kill_after`: seconds, see KILL_AFTER.
    """

    def __init__(
        self,
        profile: ModelProfile,
        folder: Path,
        log: Path | None = None,
        *,
        threads: int = 0,
        idle: bool = False,
        kill_after: float | None = None,
    ) -> None:
        self.profile = profile
        self._folder, self._kill_after = folder, kill_after or (KILL_IDLE_AFTER if idle else KILL_AFTER)
        self._threads = threads or (max(1, _cores() - 1) if idle else min(_cores(), MOST_THREADS))
        self._files = self._child(log, self._threads, "idle" if idle else "")
        self._questions = self._child(log, 1, "") if idle else self._files
        self._running: set[asyncio.Task[bytes]] = set()
        self._pauses = 0
        self._go_on = asyncio.Event()
        self._go_on.set()

    def _child(self, log: Path | None, threads: int, priority: str) -> Worker:
        return Worker(_MODULE, (json.dumps(asdict(self.profile)), str(self._folder), str(threads), priority), log)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the children that run now."""
        return tuple(dict.fromkeys(pid for child in (self._files, self._questions) if (pid := child.pid) is not None))

    async def load(self) -> None:
        """Starts the child and loads the model; the first embedding does it otherwise. Raises Unavailable, and InvalidRequest
        when the model is not there, cannot be read or is another one than its profile says."""
        await self._embed(self._files, ["load"], False)

    async def close(self) -> None:
        """Ends the children, and this object with them."""
        await asyncio.gather(*(child.close() for child in {self._files, self._questions}))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside of it no further texts of files are begun; those that were take up to 0.2 s of an idle processor."""
        self._pauses += 1
        self._go_on.clear()
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses:
                self._go_on.set()

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        """One array of shape (chunks, dimensions) a file. Raises Unavailable and InvalidRequest, see `load`."""
        texts = [text for file in files for text in file.texts]
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # texts of one length: no thread waits for another
        vectors = np.empty((len(texts), self.profile.dimensions), np.float32)
        for first in range(0, len(order), self._threads * TEXTS_A_THREAD):
            some = order[first : first + self._threads * TEXTS_A_THREAD]
            await self._go_on.wait()
            vectors[some] = await self._embed(self._files, [texts[at] for at in some], False)
        return np.split(vectors, np.cumsum([len(file.texts) for file in files])[:-1]) if files else []

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        """Shape (dimensions,); a transformer weighs words by itself. Raises Unavailable and InvalidRequest, see `load`."""
        with self.paused():
            vector: NDArray[np.float32] = (await self._embed(self._questions, [text], True))[0]
        return vector

    async def _embed(self, child: Worker, texts: Sequence[str], query: bool) -> NDArray[np.float32]:
        self._check()
        task = asyncio.create_task(self._call(child, (texts, query)))
        self._running.add(task)
        task.add_done_callback(self._done)
        try:
            # A caller that gives up leaves the child alone: to start another one would cost the next caller a second.
            answer = await asyncio.shield(task)
        except TimeoutError as error:
            raise self._unavailable(f"did not answer for {self._kill_after:.0f} s and was started again") from error
        except WorkerDied as error:
            raise self._unavailable(f"ended unexpectedly ({error})") from error
        except WorkerFailed as error:
            raise self._failure(str(error)) from error
        return np.frombuffer(answer, "<f4").reshape(len(texts), self.profile.dimensions)

    async def _call(self, child: Worker, request: tuple[Sequence[str], bool]) -> bytes:
        """Sends a request, once more if the child dies: a dead child may be no fault of the request's."""
        try:
            answer: bytes = await child.call(request, self._kill_after)
        except WorkerDied as error:
            _log.warning("%s", error)
            answer = await child.call(request, self._kill_after)
        return answer

    def _done(self, task: "asyncio.Task[bytes]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; nobody else has to

    def _check(self) -> None:
        if self.profile.pooling not in _POOLINGS:
            known = ", ".join(_POOLINGS)
            message = f"The model profile {self.profile.name} has the pooling {self.profile.pooling!r}; known: {known}."
            raise InvalidRequest(message, Reason.INVALID_SETTING, "embedding.profile")
        if missing := [name for name in FILES if not (self._folder / name).is_file()]:
            message = f"The model {self.profile.name} is not here: {self._folder} has no {' and no '.join(missing)}."
            raise InvalidRequest(f"{message} Fetch it: {self._pull}", Reason.MODEL_MISSING, "embedding.profile")

    def _failure(self, text: str) -> Exception:
        """The domain's word for what the child raised."""
        kind, _, what = text.partition(": ")
        if kind == "Misfit":
            message = f"The model in {self._folder} is not {self.profile.name}: {what}. Choose its own profile, or {self._pull}"
            return InvalidRequest(message, Reason.INVALID_SETTING, "embedding.profile")
        if kind == "Broken":
            message = f"The model in {self._folder} cannot be used ({what}). Fetch it again: {self._pull}"
            return InvalidRequest(message, Reason.MODEL_MISSING, "embedding.profile")
        if kind == "BadVector":
            message = f"The model {self.profile.name} answered {what}; nothing was stored. Fetch it again: {self._pull}"
            return Unavailable(message, Reason.EMBEDDER_UNAVAILABLE, retry_after=60)
        return RuntimeError(text)

    @property
    def _pull(self) -> str:
        return f"`nearcode models pull {self.profile.name}`"

    def _unavailable(self, what: str) -> Unavailable:
        message = f"The process of the embedding model {self.profile.name} {what}. Try again; see its log if it stays so."
        return Unavailable(message, Reason.EMBEDDER_UNAVAILABLE)


def _cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
