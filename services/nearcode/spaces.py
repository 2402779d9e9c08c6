"""The index spaces of one process: which models answer now, and their collections and models, each opened once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from nearcode.domain.errors import Conflict, NearcodeError
from nearcode.domain.spaces import CHAT, COMPLETION, Opened, SpaceState, View, collection_key, split_collection
from nearcode.runtime.ending import end
from nearcode.stores import Stores, once
from nearcode.telemetry.log import get_logger

if TYPE_CHECKING:
    from nearcode.adapters.jetstream_spaces import FilledCollections, KvSpaceStates
    from nearcode.domain.index import ChunkIndex, Embedder
    from nearcode.ingestion.filling import Fill

T = TypeVar("T")
log = get_logger(__name__)

_FRESH_SECONDS = 1.0
"""How long a space's state is believed without asking. SpaceChanged shortens it to nothing; this is for facts that got lost."""


class Spaces(Stores):
    """Implements `domain.spaces.Views` and opens what the other services ask for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._states: dict[str, SpaceState | None] = {}
        self._asked: dict[str, float] = {}
        self._views: dict[tuple[str, str], View] = {}
        self._answering: tuple[str, str] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aexit__(self, *exception: object) -> None:
        await end(self._tasks)
        await super().__aexit__(*exception)

    # Which model answers

    @once
    async def states(self) -> "KvSpaceStates":
        from nearcode.adapters.jetstream_spaces import KvSpaceStates

        return KvSpaceStates(await self.nats())

    @property
    def has_chat(self) -> bool:
        """Whether this installation has a chat space."""
        chat = self.settings.embedding.chat
        if chat.enabled == "auto":
            return bool(chat.url or self.model_folder(chat.profile))
        return chat.enabled == "on"

    async def _begin(self, space: str, profile: str) -> None:
        """Gives a space its first model."""
        try:
            await (await self.states()).create(SpaceState(space, profile))
        except Conflict:
            log.info("another process named the model first", space=space)
        else:
            await self.tell_changed(space)

    async def tell_changed(self, space: str) -> None:
        """Tells every process that a space's state has changed."""
        from nearcode.api.events.v1 import events_pb2

        await (await self.bus()).publish(events_pb2.SpaceChanged(space=space), message_id=f"space-{space}-{time.time_ns()}")

    async def changed_space(self, space: str) -> None:
        """After a change by this process: it sees it at once, and tells the others."""
        await self.refresh(space)
        await self.tell_changed(space)

    async def state(self, space: str) -> SpaceState | None:
        """The state of a space, a second old at most; None for a chat space that is switched off or not begun."""
        if space == CHAT and not self.has_chat:
            return None
        if time.monotonic() - self._asked.get(space, -_FRESH_SECONDS) >= _FRESH_SECONDS:
            await self.refresh(space)
        return self._states.get(space)

    async def refresh(self, space: str) -> None:
        """Asks for the state anew, and tells those who wait for changes."""
        state = SpaceState(space, self.settings.embedding.profile) if space == COMPLETION else await self._asked_state(space)
        changed = self._states.get(space) != state
        self._states[space], self._asked[space] = state, time.monotonic()
        if changed:
            for listener in self._listeners:
                await listener()

    async def _asked_state(self, space: str) -> SpaceState | None:
        """What is kept of the chat space. Without a model yet it gets its first one, maybe long after the start, when that was
        pulled. The completion space's model comes with the program and its settings: nothing is kept of it."""
        first = self.settings.embedding.chat.profile if self.has_chat else ""
        found = await (await self.states()).get(space) if first else None
        if found is None and first and "ingestion" in self.targets:
            await self._begin(space, first)
            found = await (await self.states()).get(space)
        return found.state if found else None

    async def follow_spaces(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Calls the listener now, and whenever a space's state has changed."""
        if not self._listeners:
            from nearcode.api.events.v1 import events_pb2

            async def changed(fact: events_pb2.SpaceChanged) -> None:
                await self.refresh(fact.space)

            await (await self.bus()).follow(events_pb2.SpaceChanged, changed)
        self._listeners.append(listener)
        await listener()

    # What answers

    async def view(self) -> View:
        """Implements Views. Another model's collection and model are opened behind; until they are, the one before answers."""
        completion = await self._active(COMPLETION)
        wanted = completion, await self._active(CHAT)
        if wanted in self._views:
            self._answering = wanted
        elif self._answering is None:
            first = (completion, "")
            self._views[first] = await self._open_view(*first)
            self._answering = first
        if wanted != self._answering and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = self._behind(self._prepare(wanted))
        return self._views[self._answering]

    async def warm_view(self, seconds: float) -> None:
        """Opens the view that answers, waiting so long for a chat space: who asks once must not go without it."""
        await self.view()
        if self._refreshing:
            await asyncio.wait([self._refreshing], timeout=seconds)

    async def _active(self, space: str) -> str:
        if time.monotonic() - self._asked.get(space, -1e9) >= _FRESH_SECONDS and space in self._states:
            self._asked[space] = time.monotonic()
            self._behind(self.refresh(space))  # the question goes on with what is known
        state = self._states[space] if space in self._states else await self.state(space)
        return state.active if state else ""

    async def _prepare(self, wanted: tuple[str, str]) -> None:
        self._views[wanted] = await self._open_view(*wanted)

    async def _open_view(self, completion: str, chat: str) -> View:
        first = Opened(await self.index(collection_key(COMPLETION, completion)), await self.model(completion))
        if not chat:
            return View(first)
        return View(first, await self.opened(CHAT, chat), (await self.filled()).whole)

    async def opened(self, space: str, profile: str) -> Opened:
        """A collection and its model. Raises what is wrong with them: Conflict, InvalidRequest, Unavailable."""
        opened = Opened(await self.index(collection_key(space, profile)), await self.model(profile))
        await opened.embedder.embed_query("", {})  # loads the model: before a question waits for it
        return opened

    @once
    async def filled(self) -> "FilledCollections":
        from nearcode.adapters.jetstream_spaces import FilledCollections

        return FilledCollections(await self.manifests())

    # What is filled

    async def fills(self) -> "list[Fill]":
        """The collections to keep up to date behind what is served."""
        from nearcode.ingestion.filling import Fill

        wanted: list[Fill] = []
        for space in (COMPLETION, CHAT):
            state = await self.state(space)
            if state:
                wanted += [
                    Fill(space, profile, role)
                    for role, profile in state.roles.items()
                    if (space, role) != (COMPLETION, "active")  # that one is served
                ]
        return wanted

    # Collections and models

    async def index(self, collection: str = "") -> "ChunkIndex":
        """A collection by its key; without one, the served one. Raises Conflict, InvalidRequest, Unavailable."""
        if not collection:
            collection = collection_key(COMPLETION, await self._active(COMPLETION))
        return await self._opened(f"index {collection}", lambda: self._open_collection(collection))

    async def _open_collection(self, collection: str) -> "ChunkIndex":
        from nearcode.domain.index import IndexSpace
        from nearcode.embedding.profiles import profile

        space, name = split_collection(collection)
        return await self.open_index(IndexSpace(space, profile(name)))

    async def model(self, name: str) -> "Embedder":
        """The model of a profile. Raises InvalidRequest, Unavailable."""
        from nearcode.embedding.profiles import profile

        return await self._opened(f"model {name}", lambda: self.open_model(profile(name)))

    async def _opened(self, key: str, build: Callable[[], Awaitable[T]]) -> T:
        """The first call builds, all calls share the result; what could not be opened is tried anew by the next call."""
        opening: asyncio.Future[T] | None = self.built.get(key)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self.built[key] = asyncio.ensure_future(build())
        return await asyncio.shield(opening)

    def _behind(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        """Work that no question waits for."""

        async def run() -> None:
            try:
                await work
            except NearcodeError as error:
                log.warning("an index space cannot be asked now", reason=error.reason, error=error.message)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
