"""Sends calls when they are due and notes what became of them. Answers are decoded after the run, so that the generator is
never busy with old answers while calls are due."""

import asyncio
import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from nearcode.api.assistant.v1 import assistant_pb2 as pb
from nearcode.api.generation.v1 import generation_pb2
from nearcode.api.repositories.v1 import repositories_pb2
from nearcode.domain.retrieval import CodeCursor
from nearcode.runtime.wire import cursor_to_proto

from loadtest.arrivals import CHAT, COMPLETION, SEARCH, Arrival
from loadtest.outcomes import Outcome, ending

_SERVICE = "/nearcode.api.assistant.v1.AssistantService/"
_METHODS = {COMPLETION: "Complete", SEARCH: "Search", CHAT: "Chat"}
_LEAST_SECONDS = 0.001
_GRACE_SECONDS = 2.0
"""After the last deadline; whoever does not answer a cancelled call by then has lost it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the engine is: `host:port` or `unix:PATH`, its token, and the certificate of its authority if it speaks TLS."""

    address: str
    token: str = ""
    ca_file: str = ""

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own: channels do not share theirs."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0)]
        options += [("grpc.max_receive_message_length", 16 * 2**20)]
        if not self.ca_file:
            return grpc.aio.insecure_channel(self.address, options=options)
        credentials = grpc.ssl_channel_credentials(Path(self.ca_file).read_bytes())
        return grpc.aio.secure_channel(self.address, credentials, options=options)

    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.token}")] if self.token else []


def requests(workspace: str, asked: Sequence[str], places: Sequence[CodeCursor]) -> dict[str, list[bytes]]:
    """The requests of each kind, ready to send."""
    where = repositories_pb2.Workspace(remotes=[workspace])
    turns = [[generation_pb2.Message(role="user", content=text)] for text in asked]
    return {
        COMPLETION: [
            pb.CompleteRequest(workspace=where, cursor=cursor_to_proto(place)).SerializeToString() for place in places
        ],
        SEARCH: [pb.SearchRequest(workspaces=[where], query=text).SerializeToString() for text in asked],
        CHAT: [pb.ChatRequest(workspaces=[where], messages=turn).SerializeToString() for turn in turns],
    }


@dataclass(slots=True)
class _Sent:
    arrival: Arrival
    lag: float
    seconds: float = 0.0
    first: float = 0.0
    code: str = "LOST"
    bodies: list[bytes] = field(default_factory=list)


class Caller:
    """Sends over `connections` connections, in turn."""

    def __init__(self, target: Target, made: Mapping[str, Sequence[bytes]], deadlines: Mapping[str, float], connections: int):
        self._made, self._deadlines, self._metadata = made, deadlines, target.metadata()
        self._channels = [target.channel() for _ in range(connections)]
        self._calls: list[dict[str, Any]] = []
        for channel in self._channels:
            unary, stream = channel.unary_unary, channel.unary_stream
            self._calls.append(
                {kind: (unary if kind == SEARCH else stream)(_SERVICE + name) for kind, name in _METHODS.items()}
            )

    async def connect(self) -> None:
        """Connects, so that no call pays for it. Raises TimeoutError."""
        await asyncio.wait_for(asyncio.gather(*(channel.channel_ready() for channel in self._channels)), 30.0)

    async def run(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Sends each call when it is due, whatever became of those before, and returns when the last has ended."""
        gc.collect()
        gc.freeze()
        gc.disable()  # its pauses would be ours
        began, sent, tasks = time.perf_counter(), [], []
        for number, arrival in enumerate(arrivals):
            if (pause := began + arrival.at - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            one = _Sent(arrival, time.perf_counter() - began - arrival.at)
            sent.append(one)
            tasks.append(asyncio.create_task(self._send(one, began + arrival.at, self._calls[number % len(self._calls)])))
        if tasks:
            await asyncio.wait(tasks, timeout=max(self._deadlines.values()) + _GRACE_SECONDS)
        gc.enable()
        return [self._outcome(one) for one in sent]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close(None)

    async def _send(self, one: _Sent, due: float, calls: Mapping[str, Any]) -> None:
        kind = one.arrival.kind
        body = self._made[kind][one.arrival.item % len(self._made[kind])]
        # The person's patience began when the call was due, not when we came to send it.
        timeout = max(_LEAST_SECONDS, self._deadlines[kind] - one.lag)
        call = calls[kind](body, timeout=timeout, metadata=self._metadata)
        try:
            if kind == SEARCH:
                one.bodies.append(await call)
            else:
                async for part in call:
                    one.first = one.first or time.perf_counter() - due
                    one.bodies.append(part)
            one.code = "OK"
        except grpc.aio.AioRpcError as error:
            one.code = error.code().name
        one.seconds = time.perf_counter() - due

    def _outcome(self, one: _Sent) -> Outcome:
        kind = one.arrival.kind
        deadline = self._deadlines[kind]
        read = _read(kind, one.bodies) if one.code == "OK" else {}
        ended = ending(one.code, one.seconds, deadline)
        return Outcome(kind, one.arrival.at, one.lag, deadline, one.seconds, ended, one.code, one.first, **read)


def _read(kind: str, bodies: Sequence[bytes]) -> dict[str, Any]:
    if kind == SEARCH:
        found = pb.SearchResponse.FromString(bodies[0])
        return {**_reported(found.report), "sources": len(found.snippets)}
    read: dict[str, Any] = {"sources": 0, "characters": 0}
    for body in bodies:
        part = pb.CompleteResponse.FromString(body) if kind == COMPLETION else pb.ChatResponse.FromString(body)
        which = part.WhichOneof("part")
        if which == "sources":
            read["sources"] = len(part.sources.snippets)
        elif which == "text":
            read["characters"] += len(part.text)
        elif which == "report":
            read |= _reported(part.report)
    return read


def _reported(report: pb.Report) -> dict[str, Any]:
    stages: dict[str, float] = {}
    for stage in report.stages:
        stages[stage.name] = stages.get(stage.name, 0.0) + stage.spent_ms
    return {"plan": report.plan, "degraded": report.degraded, "stages": stages}
