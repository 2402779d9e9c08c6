"""What one process holds: its home, its stores and its models, each built once and closed in reverse order."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.spaces import COMPLETION
from nearcode.events.topology import Share
from nearcode.observers import Observers
from nearcode.plaintext import refuse_plaintext
from nearcode.runtime.encryption import host_of
from nearcode.runtime.home import Home
from nearcode.runtime.tls import Tls
from nearcode.settings import Settings

if TYPE_CHECKING:
    import grpc
    from nats.aio.client import Client as NatsClient

    from nearcode.adapters.artifact_cache import CachedArtifacts
    from nearcode.adapters.jetstream import JetStreamBus
    from nearcode.adapters.jetstream_stores import KvManifests
    from nearcode.domain.index import ChunkIndex, Embedder, IndexSpace, ModelProfile
    from nearcode.domain.language_model import LanguageModel

S = TypeVar("S", bound="Stores")
T = TypeVar("T")

SERVICES = ("gateway", "ingestion", "chunking", "embedding", "retrieval", "generation")


def once(build: Callable[[S], Coroutine[Any, Any, T]]) -> Callable[[S], Awaitable[T]]:
    """The first call builds, all calls share the result, also those that come while it is built."""

    @functools.wraps(build)
    def shared(app: S) -> Awaitable[T]:
        if build.__name__ not in app.built:
            app.built[build.__name__] = asyncio.ensure_future(build(app))
        return asyncio.shield(app.built[build.__name__])

    return shared


class Stores:
    """Builds stores and models on demand. `async with` stops in reverse order whatever was started."""

    def __init__(self, settings: Settings, targets: Sequence[str], repository: str = "") -> None:
        self.settings = settings
        self.targets = frozenset(SERVICES if "all" in targets else targets)
        self.share = Share(settings.events.bulk, repository)
        """What of the queues this process works on. With a repository it is a Job's, which works on nothing else."""
        self.home = Home(settings.home)
        self.observers = Observers()
        """Told what happens; whoever serves the app puts counters here before anything is built."""
        self.built: dict[str, asyncio.Future[Any]] = {}
        self._stack = AsyncExitStack()
        self._children: list[Callable[[], Awaitable[None]]] = []
        self._pauses: list[Callable[[], contextlib.AbstractContextManager[None]]] = []

    async def __aenter__(self: S) -> S:
        if not find_spec("nats"):
            message = "the engine is not installed here: pip install 'nearcode[engine]', or name a running one: gateway.address"
            raise Unavailable(message, Reason.SERVICE_UNAVAILABLE)
        refuse_plaintext(self.settings)
        self.settings.log_dir.mkdir(parents=True, exist_ok=True)
        if self.holds_home:
            self._stack.enter_context(self.home.locked())
        self._stack.push_async_callback(self._close_children)
        return self

    @functools.cached_property
    def tls(self) -> Tls:
        """What this process trusts and shows."""
        return tls_of(self.settings)

    @property
    def holds_home(self) -> bool:
        """Whether this process keeps stores of its own in the home folder, which only one may do."""
        return not (self.settings.events.url and self.settings.index.url)

    async def __aexit__(self, *exception: object) -> None:
        for building in self.built.values():
            if not building.done():
                building.cancel()
        await asyncio.gather(*self.built.values(), return_exceptions=True)
        await self._stack.aclose()

    async def _close_children(self) -> None:
        """Ends the child processes together, after everything that talks to them."""
        await asyncio.gather(*(close() for close in self._children))

    @once
    async def events_url(self) -> str:
        if self.settings.events.url:
            return self.settings.events.url
        from nearcode.adapters.nats_child import NatsChild

        child = NatsChild(self.home.folder / "nats", self._log("nats"))
        self._children.append(child.close)
        await child.start()
        return child.url

    @once
    async def nats(self) -> "NatsClient":
        from nearcode.adapters.nats_client import load_without_websockets

        load_without_websockets()
        from nearcode.adapters.jetstream import connect as connect_nats
        from nearcode.adapters.jetstream_layout import prepare

        client = await connect_nats(
            await self.events_url(), "nearcode " + " ".join(sorted(self.targets)), **events_access(self.settings, self.tls)
        )
        self._stack.push_async_callback(client.close)
        settings = self.settings.events
        if settings.url:  # the child is ours, and always safe
            from nearcode.adapters.nats_safety import confirm

            context = self.tls.client_context(settings.ca_file) if "https://" in settings.monitor_url else None
            await confirm(client, settings.monitor_url, unsafe=settings.unsafe_sync, context=context)
        await prepare(client, settings.replicas)
        return client

    @once
    async def bus(self) -> "JetStreamBus":
        from nearcode.adapters.jetstream import JetStreamBus

        bus = JetStreamBus(await self.nats(), self.settings.org, self.share, observer=self.observers.bus)
        self._stack.push_async_callback(bus.close)
        return bus

    @once
    async def manifests(self) -> "KvManifests":
        from nearcode.adapters.jetstream_stores import KvManifests

        # A broker of our own is this process' alone, as the home is locked.
        return KvManifests(await self.nats(), alone=not self.settings.events.url)

    @once
    async def artifacts(self) -> "CachedArtifacts":
        from nearcode.adapters.artifact_cache import CachedArtifacts
        from nearcode.adapters.jetstream_stores import ObjectArtifacts

        return CachedArtifacts(ObjectArtifacts(await self.nats()), self.home.folder / "cache" / "revisions")

    async def open_index(self, space: "IndexSpace") -> "ChunkIndex":
        """The store of one collection, opened."""
        settings = self.settings.index
        if settings.url:
            from nearcode.adapters.qdrant import QdrantChunkIndex

            key = read_secret(settings.api_key_file)
            server = QdrantChunkIndex(
                space,
                settings.url,
                api_key=key,
                collection_prefix=settings.collection_prefix,
                grpc_port=settings.grpc_port,
                replicas=settings.replicas,
                write_consistency=settings.write_consistency,
                shards=settings.shards,
                ca_file=self.tls.authorities(settings.ca_file),
            )
            await server.open()
            self._stack.push_async_callback(server.close)
            return server
        from nearcode.adapters.qdrant_edge import EdgeChunkIndex, clear_for

        first = space.name == COMPLETION and space.profile.name == self.settings.embedding.profile
        folder = self.home.folder / "index" / (COMPLETION if first else space.collection)
        clear_for(space, folder)
        edge = EdgeChunkIndex(space, folder, self._log("index"))
        await edge.open()
        self._children.append(edge.close)
        return edge

    async def open_model(self, profile: "ModelProfile") -> "Embedder":
        """An embedding model, loaded: a static one in this process, a transformer on its server or in processes of its own."""
        from nearcode.embedding.measured import MeasuredEmbedder

        settings = self.settings.embedding
        if profile.static:
            from nearcode.adapters.static_embedder import StaticEmbedder

            static = StaticEmbedder(profile, settings.table)
            await static.load()
            return MeasuredEmbedder(static, self.observers.batch)
        chat = settings.chat
        if chat.url:
            from nearcode.adapters.triton_embedder import TritonEmbedder

            observe = self.observers.batch
            remote = TritonEmbedder(
                profile,
                chat.url,
                (chat.model if profile.name == chat.profile else "") or profile.name,
                credentials=self._triton_credentials(chat.url, chat.ca_file),
                observe=lambda sent: observe(profile.name, sent.texts, sent.took),
            )
            self._stack.push_async_callback(remote.close)
            await remote.open()
            return MeasuredEmbedder(remote)
        from nearcode.adapters.onnx_embedder import OnnxEmbedder
        from nearcode.embedding.sources import pulled_folder

        behind = len(self.targets) == len(SERVICES)
        given = chat.folder if profile.name == chat.profile else None  # another model's weights may fit
        folder = self.model_folder(profile.name) or given or pulled_folder(profile.name, self.home.folder)
        local = OnnxEmbedder(profile, folder, self._log("embedder"), threads=chat.threads, idle=behind)
        self._children.append(local.close)
        if behind:
            self._pauses.append(local.paused)
        return MeasuredEmbedder(local, self.observers.batch)

    def model_folder(self, profile: str) -> Path | None:
        """Where a model's files are, if they are on this machine."""
        from nearcode.embedding.sources import model_folder

        chat = self.settings.embedding.chat
        return model_folder(profile, self.home.folder, chat.folder if profile == chat.profile else None)

    async def close_models(self) -> None:
        """For who opened models without the rest."""
        await self._close_children()
        await self._stack.aclose()

    @contextlib.contextmanager
    def in_front(self) -> Iterator[None]:
        """Somebody waits for an answer: models that fill in behind pause."""
        with contextlib.ExitStack() as pauses:
            for paused in self._pauses:
                pauses.enter_context(paused())
            yield

    @once
    async def language_model(self) -> "LanguageModel":
        settings = self.settings.generation
        if settings.url.startswith(("grpc://", "grpcs://")):
            from nearcode.adapters.triton_model import TritonModel

            credentials = self._triton_credentials(settings.url, settings.ca_file)
            triton = TritonModel(settings.url, settings.model, credentials=credentials)
            self._stack.push_async_callback(triton.close)
            return triton
        if settings.url:
            from nearcode.adapters.openai_http import OpenAIModel

            context = self.tls.client_context(settings.ca_file) if settings.url.startswith("https://") else None
            remote = OpenAIModel(settings.url, settings.model, read_secret(settings.api_key_file), context)
            self._stack.push_async_callback(remote.close)
            return remote
        from nearcode.adapters.embedded_model import EmbeddedModel

        embedded = EmbeddedModel(self._log("model"), settings.threads, settings.model_path)
        self._children.append(embedded.close)
        return embedded

    def _triton_credentials(self, url: str, ca_file: Path | None) -> "grpc.ChannelCredentials | None":
        return self.tls.channel_credentials(ca_file) if url.startswith("grpcs://") else None

    def _log(self, name: str) -> Path:
        return self.settings.log_dir / f"{name}.log"


def tls_of(settings: Settings) -> Tls:
    """TLS as the settings want it. Its own certificate is for this machine and for every host that they name for a service."""
    services = [getattr(settings, service) for service in SERVICES]
    places = [settings.ops.listen, *(place for service in services for place in (service.listen, service.address))]
    hosts = [host_of(place) for place in places if not place.startswith("unix:")]
    return Tls(settings.tls, settings.home / "tls", [socket.gethostname(), *hosts])


def events_access(settings: Settings, tls: Tls) -> dict[str, Any]:
    """How the event broker is reached beside its address: whom to trust, what to show, which token."""
    events = settings.events
    encrypted = "tls://" in events.url or events.ca_file or settings.tls.ca_file
    context = tls.client_context(events.ca_file, events.cert_file, events.key_file) if encrypted and events.url else None
    return {"context": context, "token": read_secret(events.token_file)}


def read_secret(file: str | Path | None) -> str | None:
    """The first line of a secret's file; None when no file is named. Raises Unavailable."""
    if not file:
        return None
    try:
        return Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise Unavailable(f"the secret in {file} cannot be read: {error.strerror}", Reason.INVALID_SETTING) from error
