"""A small service, a server for it and a client, over a real connection."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from nearcode.api.generation.v1 import generation_pb2
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.errors import NearcodeError, Unauthenticated
from nearcode.runtime.admission import Admission
from nearcode.runtime.channel import Channel, Client, connect
from nearcode.runtime.health import Health
from nearcode.runtime.server import Call, RpcServer, rpc_handler
from nearcode.runtime.tls import Tls
from nearcode.telemetry.propagation import current_traceparent

RETRIEVAL = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"]
GENERATION = generation_pb2.DESCRIPTOR.services_by_name["GenerationService"]


class Ada:
    """Knows one token."""

    async def authenticate(self, metadata: Mapping[str, str]) -> str:
        if metadata.get("authorization") != "Bearer ada":
            raise Unauthenticated("who is there?")
        return "ada"


@dataclass
class Finder:
    """Answers with what it was told of the call, or does what the question says."""

    failure: Exception | None = None
    calls: list[Call] = field(default_factory=list)
    running: int = 0
    failures_first: int = 0

    async def retrieve(self, request: retrieval_pb2.RetrieveRequest, call: Call) -> retrieval_pb2.RetrieveResponse:
        self.calls.append(call)
        if self.failure and (self.failures_first == 0 or len(self.calls) <= self.failures_first):
            raise self.failure
        if request.query.question == "wait":
            self.running += 1
            try:
                await asyncio.sleep(3600)
            finally:
                self.running -= 1
        if request.query.question == "much":
            return retrieval_pb2.RetrieveResponse(plan="x" * 2**23)
        return retrieval_pb2.RetrieveResponse(plan=current_traceparent())

    async def explain(self, request: retrieval_pb2.ExplainRequest, call: Call) -> retrieval_pb2.ExplainResponse:
        raise TimeoutError("a bug: nothing here had a deadline")


@dataclass
class Writer:
    """Writes for ever; tells how many are still writing."""

    running: int = 0
    written: int = 0

    async def complete(
        self, request: generation_pb2.CompleteRequest, call: Call
    ) -> AsyncIterator[generation_pb2.CompleteResponse]:
        self.running += 1
        try:
            while True:
                self.written += 1
                yield generation_pb2.CompleteResponse(text=f"{self.written}")
                await asyncio.sleep(0.001)
        finally:
            self.running -= 1

    async def chat(self, request: generation_pb2.ChatRequest, call: Call) -> AsyncIterator[generation_pb2.ChatResponse]:
        for message in request.messages:
            yield generation_pb2.ChatResponse(text=message.content)
        if not request.messages:
            raise ZeroDivisionError("def secret(): pass")


@dataclass
class World:
    """A running server with its parts."""

    finder: Finder
    writer: Writer
    health: Health
    server: RpcServer
    channel: Channel
    observed: list[tuple[str, str, float]]

    @property
    def retrieval(self) -> Client:
        return Client(self.channel, RETRIEVAL)

    @property
    def generation(self) -> Client:
        return Client(self.channel, GENERATION)

    async def ask(self, question: str = "", seconds: float = 5.0) -> retrieval_pb2.RetrieveResponse:
        query = retrieval_pb2.Query(question=question)
        response: retrieval_pb2.RetrieveResponse = await self.retrieval.unary(
            "Retrieve", retrieval_pb2.RetrieveRequest(query=query), seconds=seconds
        )
        return response

    def write(self, seconds: float = 5.0) -> AsyncGenerator[generation_pb2.CompleteResponse, None]:
        return self.generation.stream("Complete", generation_pb2.CompleteRequest(), seconds=seconds)


@asynccontextmanager
async def world(
    listen: str = "127.0.0.1:0",
    token: str | None = "ada",
    credentials: grpc.ServerCredentials | None = None,
    tls: Tls | None = None,
    admission: Admission | None = None,
    **limits: float,
) -> AsyncIterator[World]:
    """A server on `listen` and a channel to it. `credentials`: what the server shows; `tls`: what its caller trusts."""
    finder, writer, health = Finder(), Writer(), Health(interval=0.01)
    observed: list[tuple[str, str, float]] = []
    handlers = [rpc_handler(RETRIEVAL, finder, **limits), rpc_handler(GENERATION, writer, **limits)]  # type: ignore[arg-type]
    server = RpcServer(
        listen,
        handlers,
        authenticator=Ada(),
        health=health,
        observe=lambda *call: observed.append(call),
        credentials=credentials,
        admission=admission,
    )
    await health.start()
    async with server:
        channel = connect(server.address, token, tls)
        try:
            yield World(finder, writer, health, server, channel, observed)
        finally:
            await channel.close()
            await server.stop(0)
            await health.stop()


async def eventually(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is another process's or task's
            await asyncio.sleep(0.005)


async def failure(answer: object) -> NearcodeError:
    """The domain error that a call ends with."""
    try:
        await answer  # type: ignore[misc]
    except NearcodeError as error:
        return error
    raise AssertionError("it did not fail")
