"""The index is updated while it is asked: a file is changed every now and then, and how long it takes until the change is
searchable is measured."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from nearcode.api.repositories.v1 import repositories_pb2 as pb

from loadtest.caller import Target
from loadtest.figures import percentiles
from loadtest.questions import sources

_SERVICE = "/nearcode.api.repositories.v1.RepositoriesService/"
_POLL_SECONDS = 0.1
_CALL_SECONDS = 20.0


class Repository:
    """The repository under test, as its service tells of it."""

    def __init__(self, target: Target, channel: grpc.aio.Channel, url: str) -> None:
        self._channel, self._metadata, self._url = channel, target.metadata(), url
        self._id = ""

    async def connect(self, seconds: float = 300.0) -> Any:
        """Has it indexed and returns when it can be searched. Raises TimeoutError, RuntimeError."""
        answer = await self._call("Connect", pb.ConnectRequest(url=self._url), pb.ConnectResponse)
        self._id = answer.repository.id
        deadline = time.monotonic() + seconds
        while True:
            status = await self.status()
            if status.state == pb.REPOSITORY_STATE_READY:
                return status
            if status.state == pb.REPOSITORY_STATE_FAILED:
                raise RuntimeError(f"{self._url} was not indexed: {status.error}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._url} is not indexed after {seconds:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def status(self) -> Any:
        return (await self._call("Get", pb.GetRequest(repository=self._id), pb.GetResponse)).repository

    async def _call(self, method: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(_SERVICE + method)
        return response.FromString(
            await call(request.SerializeToString(), timeout=_CALL_SECONDS, metadata=self._metadata, wait_for_ready=True)
        )


class Updates:
    """Changes a file `rate` times a second at most, the next when the last is searchable. `figures` tells how long it took."""

    def __init__(self, repository: Repository, folder: Path, rate: float, seed: int) -> None:
        self._repository, self._rate = repository, rate
        self._files: Sequence[Path] = sources(folder)
        self._chance = random.Random(seed)
        self._seconds: list[float] = []
        self._number = self._refused = self._open = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Updates":
        if self._rate > 0:
            writing = asyncio.create_task(self._write())
            self._stack.push_async_callback(asyncio.wait, [writing])
            self._stack.callback(writing.cancel)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    def figures(self) -> dict[str, Any]:
        """Seconds from the change of a file until the engine serves the revision that has it; `open`: never seen in the run."""
        return {"changes": self._number, "open": self._open, "refused_looks": self._refused, **percentiles(self._seconds)}

    async def _write(self) -> None:
        while True:
            began = time.monotonic()
            before = await self._revision()
            with self._chance.choice(self._files).open("a", encoding="utf-8") as file:
                file.write(f"\n# change {self._number} of {self._chance.randrange(2**31)}\n")
            changed, self._number, self._open = time.monotonic(), self._number + 1, 1
            while await self._revision() in ("", before):  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(_POLL_SECONDS)
            self._seconds.append(time.monotonic() - changed)
            self._open = 0
            await asyncio.sleep(max(0.0, began + 1 / self._rate - time.monotonic()))

    async def _revision(self) -> str:
        """The revision that is served; empty when the engine had no time to tell."""
        try:
            return str((await self._repository.status()).revision)
        except grpc.aio.AioRpcError:
            self._refused += 1
            return ""
