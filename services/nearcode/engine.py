"""Processes: the engine that runs until it is stopped, the one that lives for a command, and the way to a running one."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearcode.app import App, token_file
from nearcode.auth.local import LOCAL_USER
from nearcode.auth.token import read_token
from nearcode.domain.assistant import Assistant, Repositories
from nearcode.domain.errors import Conflict, Reason
from nearcode.domain.spaces import Models
from nearcode.plaintext import refuse_plaintext
from nearcode.runtime.home import Home, home_error
from nearcode.settings import Settings
from nearcode.stores import events_access, tls_of

if TYPE_CHECKING:
    from nearcode.adapters.jetstream_dead import DeadLetters
    from nearcode.indexing_job import Tell

_BUSY_SECONDS = 60.0
"""How long a command waits for another one that works in the same home."""
_POLL_SECONDS = 0.02

Ready = Callable[[dict[str, str]], None]
"""Told once where the engine listens: addresses by name."""


@dataclass(frozen=True, slots=True)
class EngineClient:
    """An engine to ask. `running`: it was there before and stays. `warm_model` returns when the language model is loaded,
    so that a command's deadline does not pay for it."""

    assistant: Assistant
    repositories: Repositories
    models: Models
    running: bool
    warm_model: Callable[[], Coroutine[Any, Any, None]]
    user: str = LOCAL_USER


async def run(settings: Settings, targets: Sequence[str], ready: Ready) -> None:
    """Runs services until SIGTERM or SIGINT. Raises Conflict, InvalidRequest and Unavailable when they cannot start."""
    from nearcode.process import Process

    async with _telemetry(settings, _service_name(targets), None), Process(settings, targets) as process:
        if await process.open():
            _collect_from_now_on()
            ready(process.addresses)
            await process.stopped()


async def work(settings: Settings, repository: str, generation: int, ready: Ready, tell: "Tell") -> str:
    """Works on the first index or large backlog of a repository until it is done, and returns how it ended (`ending` in
    indexing_job.py); empty when this process was asked to end before. Raises InvalidRequest and Unavailable."""
    from nearcode.indexing_job import TARGETS, IndexingJob, check
    from nearcode.process import Process

    check(settings, repository, generation)
    async with _telemetry(settings, "nearcode-work", None), Process(settings, TARGETS, repository) as process:
        app = await process.open()
        if app is None:
            return ""
        _collect_from_now_on()
        ready(process.addresses)
        bus = await app.bus()
        job = IndexingJob(await app.manifests(), bus.left, repository, generation)
        ended = await process.unless_stopped(job.done(tell))
        await bus.close()
        ended = ended or await job.look(tell)
        if ended:
            await bus.remove_consumers()
        return ended


@contextlib.asynccontextmanager
async def client(settings: Settings) -> AsyncIterator[EngineClient]:
    """A running engine on this home, or one in this process that is stopped afterwards. Raises Conflict, Unavailable."""
    home, deadline = Home(settings.home), time.monotonic() + _BUSY_SECONDS
    async with contextlib.AsyncExitStack() as stack:
        while True:
            if address := settings.gateway.address or _listening(home):
                yield await stack.enter_async_context(_remote(settings, address))
                return
            try:
                own = await stack.enter_async_context(_own(settings))
            except Conflict as error:
                # Another command works in this home: soon it is done, or listens.
                if error.reason != Reason.HOME_LOCKED or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
                continue
            yield own
            return


@contextlib.asynccontextmanager
async def dead_letters(settings: Settings) -> AsyncIterator["DeadLetters"]:
    """The quarantine of this home, through the broker that runs or one started for the moment."""
    from nearcode.adapters.jetstream import connect
    from nearcode.adapters.jetstream_dead import DeadLetters

    engine = Home(settings.home).engine() if _listening(Home(settings.home)) else None
    if settings.events.url or (engine and engine.events):
        refuse_plaintext(settings)
        access = events_access(settings, tls_of(settings))
        connection = await connect(settings.events.url or (engine.events if engine else ""), "nearcode dead", **access)
        try:
            yield DeadLetters(connection)
        finally:
            await connection.close()
        return
    async with _telemetry(settings, "nearcode", settings.log_dir / "engine.log"), App(settings, ()) as app:
        await app.bus()
        yield DeadLetters(await app.nats())


@contextlib.asynccontextmanager
async def _own(settings: Settings) -> AsyncIterator[EngineClient]:
    async with _telemetry(settings, "nearcode", settings.log_dir / "engine.log"), App(settings, ("all",)) as app:
        await app.warm()
        _collect_from_now_on()
        working = asyncio.create_task(app.start_workers())  # a question need not wait for them
        try:
            yield EngineClient(
                await app.gateway(), await app.repositories(), await app.models(), running=False, warm_model=app.warm_model
            )
        finally:
            await working


@contextlib.asynccontextmanager
async def _remote(settings: Settings, address: str) -> AsyncIterator[EngineClient]:
    from nearcode.api.assistant.v1 import assistant_pb2
    from nearcode.api.repositories.v1 import repositories_pb2
    from nearcode.api.spaces.v1 import spaces_pb2
    from nearcode.gateway.repositories import RemoteRepositories
    from nearcode.gateway.rpc import RemoteAssistant
    from nearcode.ingestion.models_rpc import RemoteModels
    from nearcode.runtime.channel import Client, connect

    channel = connect(address, None if address.startswith("unix:") else read_token(token_file(settings)), tls_of(settings))
    try:
        assistant = Client(channel, assistant_pb2.DESCRIPTOR.services_by_name["AssistantService"])
        repositories = Client(channel, repositories_pb2.DESCRIPTOR.services_by_name["RepositoriesService"])
        models = Client(channel, spaces_pb2.DESCRIPTOR.services_by_name["SpacesService"])
        yield EngineClient(
            RemoteAssistant(assistant), RemoteRepositories(repositories), RemoteModels(models), running=True, warm_model=_warm
        )
    finally:
        await channel.close()


_LOOK_AFTER = 2_500
"""Objects more than before, after which young garbage is looked for: a few times a question, and not a dozen."""


def _collect_from_now_on() -> None:
    """What is loaded now stays: to look through it again would show in every hundredth answer."""
    gc.freeze()
    gc.set_threshold(_LOOK_AFTER)
    gc.enable()


async def _warm() -> None:
    """The engine that runs warmed its model when it started."""


@contextlib.asynccontextmanager
async def _telemetry(settings: Settings, service: str, log: Path | None) -> AsyncIterator[None]:
    """Traces and logs, from before anything can say something until everything has ended."""
    from nearcode.telemetry.setup import setup

    try:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        telemetry = setup(settings.telemetry, service, settings.log_dir, log)
    except OSError as error:
        raise home_error(error, settings.log_dir) from error
    try:
        yield
    finally:
        await asyncio.to_thread(telemetry.shutdown)


def _listening(home: Home) -> str:
    """The address of the engine that runs on this home; empty when none does."""
    engine = home.engine()
    return engine.address if engine and engine.address and home.is_locked() else ""


def _service_name(targets: Sequence[str]) -> str:
    return "nearcode-" + targets[0] if len(targets) == 1 and "all" not in targets else "nearcode"
