"""The composition root: answers, once per process, what satisfies each port. The only place that chooses."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nearcode.auth.token import ensure_token
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.runtime.home import Home
from nearcode.settings import Settings
from nearcode.telemetry.log import get_logger

if TYPE_CHECKING:
    from nats.aio.client import Client as NatsClient

    from nearcode.adapters.artifact_cache import CachedArtifacts
    from nearcode.adapters.jetstream import JetStreamBus
    from nearcode.adapters.jetstream_stores import KvManifests
    from nearcode.adapters.revisions import ArtifactRevisions
    from nearcode.domain.completion import Generator
    from nearcode.domain.index import ChunkIndex, Embedder
    from nearcode.domain.language_model import LanguageModel
    from nearcode.domain.retrieval import Retriever
    from nearcode.gateway.repositories import ReadableRepositories
    from nearcode.gateway.service import Gateway
    from nearcode.ingestion.rpc import RemoteIngestion
    from nearcode.ingestion.service import Ingestion
    from nearcode.runtime.channel import Client

T = TypeVar("T")
log = get_logger(__name__)

SERVICES = ("gateway", "ingestion", "chunking", "embedding", "retrieval", "generation")
SPACE = "completion"
"""The index space of the static embedder."""


def once(build: Callable[["App"], Coroutine[Any, Any, T]]) -> Callable[["App"], Awaitable[T]]:
    """The first call builds, all calls share the result, also those that come while it is built."""

    @functools.wraps(build)
    def shared(app: "App") -> Awaitable[T]:
        if build.__name__ not in app.built:
            app.built[build.__name__] = asyncio.ensure_future(build(app))
        return asyncio.shield(app.built[build.__name__])

    return shared


class App:
    """One process with some of the services in it. `async with` stops in reverse order whatever it started."""

    def __init__(self, settings: Settings, targets: Sequence[str]) -> None:
        self.settings = settings
        self.targets = frozenset(SERVICES if "all" in targets else targets)
        self.home = Home(settings.home)
        self.built: dict[str, asyncio.Future[Any]] = {}
        self._stack = AsyncExitStack()
        self._children: list[Callable[[], Awaitable[None]]] = []

    async def __aenter__(self) -> "App":
        self.settings.log_dir.mkdir(parents=True, exist_ok=True)
        if self.holds_home:
            self._stack.enter_context(self.home.locked())
        self._stack.push_async_callback(self._close_children)
        return self

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

    # Stores and models

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
        from nearcode.adapters.jetstream import connect as connect_nats

        client = await connect_nats(await self.events_url(), "nearcode " + " ".join(sorted(self.targets)))
        self._stack.push_async_callback(client.close)
        return client

    @once
    async def bus(self) -> "JetStreamBus":
        from nearcode.adapters.jetstream import JetStreamBus

        bus = JetStreamBus(await self.nats(), self.settings.org, bulk=self.settings.events.bulk)
        await bus.open()
        self._stack.push_async_callback(bus.close)
        return bus

    @once
    async def manifests(self) -> "KvManifests":
        from nearcode.adapters.jetstream_stores import KvManifests

        return KvManifests(await self.nats())

    @once
    async def artifacts(self) -> "CachedArtifacts":
        from nearcode.adapters.artifact_cache import CachedArtifacts
        from nearcode.adapters.jetstream_stores import ObjectArtifacts

        return CachedArtifacts(ObjectArtifacts(await self.nats()), self.home.folder / "cache" / "revisions")

    @once
    async def index(self) -> "ChunkIndex":
        from nearcode.domain.index import IndexSpace
        from nearcode.embedding.profiles import profile

        space = IndexSpace(SPACE, profile(self.settings.embedding.profile))
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
            )
            await server.open()
            self._stack.push_async_callback(server.close)
            return server
        from nearcode.adapters.qdrant_edge import EdgeChunkIndex

        edge = EdgeChunkIndex(space, self.home.folder / "index" / SPACE, self._log("index"))
        await edge.open()
        self._children.append(edge.close)
        return edge

    @once
    async def embedder(self) -> "Embedder":
        """The model itself: questions are embedded in process, and never twice."""
        from nearcode.adapters.static_embedder import StaticEmbedder
        from nearcode.embedding.profiles import profile

        embedder = StaticEmbedder(profile(self.settings.embedding.profile))
        await embedder.load()
        return embedder

    @once
    async def language_model(self) -> "LanguageModel":
        settings = self.settings.generation
        if settings.url:
            from nearcode.adapters.openai_http import OpenAIModel

            remote = OpenAIModel(settings.url, settings.model, read_secret(settings.api_key_file))
            self._stack.push_async_callback(remote.close)
            return remote
        from nearcode.adapters.embedded_model import EmbeddedModel

        embedded = EmbeddedModel(self._log("model"), settings.threads, settings.model_path)
        self._children.append(embedded.close)
        return embedded

    # Ports: a local object or a remote client

    @once
    async def local_ingestion(self) -> "Ingestion":
        from nearcode.adapters.jetstream_stores import KvBuilds
        from nearcode.ingestion.builder import Builder
        from nearcode.ingestion.service import Ingestion
        from nearcode.ingestion.sources import open_sources

        manifests, artifacts, bus = await self.manifests(), await self.artifacts(), await self.bus()
        builds, index = KvBuilds(await self.nats()), await self.index()
        builder = Builder(manifests, artifacts, builds, index, bus, self.settings.ingestion)
        sources = open_sources(self.settings.ingestion, self.home.folder / "git")
        return Ingestion(manifests, artifacts, sources, index, bus, builder)

    async def ingestion(self) -> "Ingestion | RemoteIngestion":
        return await (self.local_ingestion() if "ingestion" in self.targets else self.remote_ingestion())

    @once
    async def remote_ingestion(self) -> "RemoteIngestion":
        from nearcode.api.ingestion.v1 import ingestion_pb2
        from nearcode.ingestion.rpc import RemoteIngestion

        return RemoteIngestion(self._client(self.settings.ingestion.address, ingestion_pb2, "IngestionService"))

    @once
    async def retriever(self) -> "Retriever":
        if "retrieval" not in self.targets:
            from nearcode.api.retrieval.v1 import retrieval_pb2
            from nearcode.retrieval.rpc import RemoteRetriever

            return RemoteRetriever(self._client(self.settings.retrieval.address, retrieval_pb2, "RetrievalService"))
        from nearcode.retrieval.service import Retrieval

        return Retrieval(await self.index(), await self.embedder(), await self.revisions(), self.settings.retrieval)

    @once
    async def revisions(self) -> "ArtifactRevisions":
        from nearcode.adapters.revisions import ArtifactRevisions

        revisions = ArtifactRevisions(await self.manifests(), await self.artifacts())
        await revisions.follow(await self.bus())
        return revisions

    @once
    async def generator(self) -> "Generator":
        if "generation" not in self.targets:
            from nearcode.api.generation.v1 import generation_pb2
            from nearcode.generation.rpc import RemoteGenerator

            return RemoteGenerator(self._client(self.settings.generation.address, generation_pb2, "GenerationService"))
        from nearcode.generation.profiles import load_profiles
        from nearcode.generation.service import Generation

        return Generation(await self.language_model(), load_profiles(), self.settings.generation)

    @once
    async def repositories(self) -> "ReadableRepositories":
        from nearcode.gateway.access import OpenAccess
        from nearcode.gateway.repositories import ReadableRepositories

        ingestion = await self.ingestion()
        return ReadableRepositories(ingestion, OpenAccess(ingestion.list_repositories))

    @once
    async def gateway(self) -> "Gateway":
        from nearcode.gateway.access import OpenAccess
        from nearcode.gateway.service import Gateway

        ingestion = await self.ingestion()
        gateway = Gateway(
            await self.retriever(),
            await self.generator(),
            OpenAccess(ingestion.list_repositories),
            ingestion.list_repositories,
            await self.bus(),
            self.settings.gateway,
        )
        self._stack.push_async_callback(gateway.close)
        return gateway

    # What runs

    async def warm(self) -> None:
        """Builds the slow things at once instead of one after the other: first the children, which start while this process
        still imports."""
        wanted: list[Awaitable[object]] = [self.events_url()]
        if self.targets & {"retrieval", "embedding", "ingestion"}:
            wanted.append(self.index())
        await asyncio.sleep(0)
        wanted.append(self.nats())
        if self.targets & {"retrieval", "embedding"}:
            wanted.append(self.embedder())
        if "retrieval" in self.targets:
            wanted.append(self.warm_revisions())
        await asyncio.gather(*wanted)

    async def warm_revisions(self) -> None:
        """Reads the revisions that are served, the most a process keeps, so that no first question pays for it."""
        revisions = await self.revisions()
        for manifest in await (await self.manifests()).all():
            await revisions.current(manifest.repository)

    async def warm_model(self) -> None:
        """Loads the embedded language model. A remote one, or none, is found out by the first question."""
        model = await self.language_model() if "generation" in self.targets else None
        try:
            if model:
                await model.served()
        except NearcodeError as error:
            log.warning("the language model is away", reason=error.reason, error=error.message)

    async def start_workers(self) -> None:
        """Begins to react to events."""
        if "chunking" in self.targets:
            await self._start_chunking()
        if "embedding" in self.targets:
            await self._start_embedding()
        if "ingestion" in self.targets:
            from nearcode.ingestion.worker import IngestionWorker

            await IngestionWorker(await self.bus(), await self.local_ingestion()).start()

    @once
    async def chunking(self) -> Any:
        from nearcode.chunking.pool import ParserPool
        from nearcode.chunking.service import Chunking

        settings = self.settings.chunking
        pool = ParserPool(settings.workers, settings.cpu_seconds, settings.wall_seconds, self._log("parser"))
        self._children.append(pool.close)
        return Chunking(await self.ingestion(), pool, self.is_current)

    @once
    async def embedding(self) -> Any:
        from nearcode.adapters.vector_cache import VectorCache
        from nearcode.embedding.cached import CachedEmbedder
        from nearcode.embedding.service import Embedding

        cache = VectorCache(self.home.folder / "cache" / "vectors.sqlite", self.settings.embedding.cache_bytes)
        self._stack.push_async_callback(cache.close)
        embedder = CachedEmbedder(await self.embedder(), cache)
        return Embedding(await self.ingestion(), embedder, await self.index(), self.is_current)

    async def _start_chunking(self) -> None:
        from nearcode.chunking.worker import ChunkingWorker

        await ChunkingWorker(await self.bus(), await self.chunking()).start()

    async def _start_embedding(self) -> None:
        from nearcode.embedding.worker import EmbeddingWorker

        await EmbeddingWorker(await self.bus(), await self.embedding()).start()

    async def is_current(self, repository: str, generation: int) -> bool:
        """Whether a build is still wanted."""
        found = await (await self.manifests()).get(repository)
        return bool(found and found.manifest.generation == generation)

    # Small things

    @functools.cached_property
    def token(self) -> str:
        """What callers over TCP must send, and what this process sends."""
        return ensure_token(token_file(self.settings))

    def _client(self, address: str, messages: Any, service: str) -> "Client":
        from nearcode.runtime.channel import Client, connect

        if not address:
            raise InvalidRequest("a service that runs elsewhere needs its address in the settings", Reason.INVALID_SETTING)
        channel = connect(address, self.token)
        self._stack.push_async_callback(channel.close)
        return Client(channel, messages.DESCRIPTOR.services_by_name[service])

    def _log(self, name: str) -> Path:
        return self.settings.log_dir / f"{name}.log"


def read_secret(file: str | Path | None) -> str | None:
    """The first line of a secret's file; None when no file is named. Raises Unavailable."""
    if not file:
        return None
    try:
        return Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise Unavailable(f"the secret in {file} cannot be read: {error.strerror}", Reason.INVALID_SETTING) from error


def token_file(settings: Settings) -> Path:
    """Where the token of this installation lies."""
    return Path(settings.gateway.token_file) if settings.gateway.token_file else settings.home / "token"
