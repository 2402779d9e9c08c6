"""The composition root: answers, once per process, what satisfies each port. The only place that chooses."""

import asyncio
import functools
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nearcode.auth.token import ensure_token
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason
from nearcode.domain.spaces import CHAT, COMPLETION, collection_key
from nearcode.settings import Settings
from nearcode.spaces import Spaces
from nearcode.stores import once
from nearcode.telemetry.log import get_logger

if TYPE_CHECKING:
    from nearcode.adapters.revisions import ArtifactRevisions
    from nearcode.api.events.v1.events_pb2 import Build
    from nearcode.domain.assistant import Assistant
    from nearcode.domain.completion import Generator
    from nearcode.domain.retrieval import Retriever
    from nearcode.domain.spaces import Models
    from nearcode.embedding.service import Embedding
    from nearcode.gateway.repositories import ReadableRepositories
    from nearcode.ingestion.rpc import RemoteIngestion
    from nearcode.ingestion.service import Ingestion
    from nearcode.runtime.channel import Client

T = TypeVar("T")
log = get_logger(__name__)

_CHAT_SECONDS = 2.0
"""How long the start waits for the chat space's model: it takes 0.5 s on an idle processor."""


class App(Spaces):
    """One process with some of the services in it: for each port a local object, or a client of the process that has it."""

    @once
    async def local_ingestion(self) -> "Ingestion":
        from nearcode.adapters.jetstream_queues import JetStreamQueues
        from nearcode.adapters.jetstream_stores import KvBuilds
        from nearcode.ingestion.builder import Builder, BuildStores
        from nearcode.ingestion.filling import Filler
        from nearcode.ingestion.service import Ingestion
        from nearcode.ingestion.sources import RepositorySources

        for space in (COMPLETION, CHAT):
            await self.refresh(space)
        settings, index = self.settings.ingestion, await self.index()
        stores = BuildStores(await self.manifests(), await self.artifacts(), KvBuilds(await self.nats()), await self.bus())
        filler = Filler(stores, self.fills, self.index, settings)
        builder = Builder(stores, index, settings, on_served=filler.want)
        sources = RepositorySources(settings, self.home.folder / "git")
        queues = JetStreamQueues(await self.nats(), self.settings.org)
        return Ingestion(stores, sources, index, builder, filler, queues)

    async def ingestion(self) -> "Ingestion | RemoteIngestion":
        return await (self.local_ingestion() if "ingestion" in self.targets else self.remote_ingestion())

    @once
    async def remote_ingestion(self) -> "RemoteIngestion":
        from nearcode.api.ingestion.v1 import ingestion_pb2
        from nearcode.ingestion.rpc import RemoteIngestion

        return RemoteIngestion(self._client(self.settings.ingestion.address, ingestion_pb2, "IngestionService"))

    @once
    async def models(self) -> "Models":
        """Which models answer, and how to change them."""
        if "ingestion" not in self.targets:
            from nearcode.api.spaces.v1 import spaces_pb2
            from nearcode.ingestion.models_rpc import RemoteModels

            return RemoteModels(self._client(self.settings.ingestion.address, spaces_pb2, "SpacesService"))
        from nearcode.ingestion.models import SpaceModels

        filler = (await self.local_ingestion()).filler
        return SpaceModels(await self.states(), filler, self.opened, self.changed_space)

    @once
    async def retriever(self) -> "Retriever":
        if "retrieval" not in self.targets:
            from nearcode.api.retrieval.v1 import retrieval_pb2
            from nearcode.retrieval.rpc import RemoteRetriever

            return RemoteRetriever(self._client(self.settings.retrieval.address, retrieval_pb2, "RetrievalService"))
        from nearcode.retrieval.service import Retrieval

        observer = self.observers.retrieval
        return Retrieval(self, await self.revisions(), self.settings.retrieval, observer=observer)

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

        observer = self.observers.generation
        return Generation(await self.language_model(), load_profiles(), self.settings.generation, observer=observer)

    @once
    async def repositories(self) -> "ReadableRepositories":
        from nearcode.gateway.access import OpenAccess
        from nearcode.gateway.repositories import ReadableRepositories

        ingestion = await self.ingestion()
        access = OpenAccess(ingestion.list_repositories)
        return ReadableRepositories(ingestion, access, connect=self.settings.gateway.connect)

    @once
    async def gateway(self) -> "Assistant":
        from nearcode.gateway.access import OpenAccess
        from nearcode.gateway.foreground import ForegroundAssistant
        from nearcode.gateway.service import Gateway

        ingestion = await self.ingestion()
        gateway = Gateway(
            await self.retriever(),
            await self.generator(),
            OpenAccess(ingestion.list_repositories),
            await self.bus(),
            self.settings.gateway,
            self.observers.gateway,
        )
        self._stack.push_async_callback(gateway.close)
        return ForegroundAssistant(gateway, self.in_front)

    # What runs

    async def warm(self) -> None:
        """Builds the slow things at once instead of one after the other: first the children, which start while this process
        still imports."""
        wanted: list[Awaitable[object]] = [self.events_url()]
        if self.targets & {"retrieval", "embedding", "ingestion"}:  # nearly always the one that the settings name
            collection = collection_key(COMPLETION, self.settings.embedding.profile)
            wanted.append(asyncio.ensure_future(self.index(collection)))
        for _ in range(3):  # builders in builders: until the innermost has started its child
            await asyncio.sleep(0)
        wanted.append(self.nats())
        if self.targets & {"retrieval", "embedding"}:
            wanted.append(self.model(self.settings.embedding.profile))
        if "retrieval" in self.targets:
            wanted += [self.warm_revisions(), self.warm_view(_CHAT_SECONDS)]
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

            ingestion = await self.local_ingestion()
            await IngestionWorker(await self.bus(), ingestion).start()
            await self.follow_spaces(ingestion.want_fills)

    @once
    async def chunking(self) -> Any:
        from nearcode.chunking.pool import ParserPool
        from nearcode.chunking.service import Chunking

        settings = self.settings.chunking
        observer = self.observers.parsers
        pool = ParserPool(settings.workers, settings.cpu_seconds, settings.wall_seconds, self._log("parser"), observer)
        self._children.append(pool.close)
        return Chunking(await self.ingestion(), pool, self.is_current, {CHAT: self.settings.embedding.chat.shape})

    @once
    async def vector_cache(self) -> Any:
        from nearcode.adapters.vector_cache import VectorCache
        from nearcode.embedding.measured import MeasuredVectors

        cache = VectorCache(self.home.folder / "cache" / "vectors.sqlite", self.settings.embedding.cache_bytes)
        self._stack.push_async_callback(cache.close)
        return MeasuredVectors(cache, self.observers.lookup)

    async def embedding(self, collection: str = "") -> "Embedding":
        """The embedding of one collection; without a name, of the served one."""
        return await self._opened(f"embedding {collection}", lambda: self._embedding(collection))

    async def _embedding(self, collection: str) -> "Embedding":
        from nearcode.embedding.cached import CachedEmbedder
        from nearcode.embedding.service import Embedding

        index = await self.index(collection)
        embedder = CachedEmbedder(await self.model(index.space.profile.name), await self.vector_cache())
        return Embedding(await self.ingestion(), embedder, index, self.is_current)

    async def _start_chunking(self) -> None:
        from nearcode.chunking.worker import ChunkingWorker

        await ChunkingWorker(await self.bus(), await self.chunking()).start()

    async def _start_embedding(self) -> None:
        from nearcode.embedding.worker import EmbeddingWorker

        settings, bus, filled = self.settings.embedding, await self.bus(), set[str]()
        await EmbeddingWorker(bus, self.embedding, settings.concurrency).start()
        if self.share.repository:  # collections are filled by standing workers
            return

        async def fill() -> None:
            for one in await self.fills():
                if one.collection not in filled:
                    filled.add(one.collection)
                    concurrency = settings.chat.concurrency if settings.chat.url else 1
                    await EmbeddingWorker(bus, self.embedding, concurrency, one.collection).start()

        await self.follow_spaces(fill)

    async def is_current(self, build: "Build") -> bool:
        """Whether a build is still wanted. A collection that cannot be filled is left alone until it is wanted anew."""
        found = await (await self.manifests()).get(build.repository, build.collection if build.fill else "")
        failed = bool(found and build.fill and found.manifest.error)
        return bool(found and found.manifest.generation == build.generation) and not failed

    # Small things

    @functools.cached_property
    def token(self) -> str:
        """What callers over TCP must send, and what this process sends."""
        return ensure_token(token_file(self.settings))

    def _client(self, address: str, messages: Any, service: str) -> "Client":
        from nearcode.runtime.channel import Client, connect

        if not address:
            raise InvalidRequest("a service that runs elsewhere needs its address in the settings", Reason.INVALID_SETTING)
        channel = connect(address, self.token, self.tls)
        self._stack.push_async_callback(channel.close)
        return Client(channel, messages.DESCRIPTOR.services_by_name[service])


def token_file(settings: Settings) -> Path:
    """Where the token of this installation lies."""
    return Path(settings.gateway.token_file) if settings.gateway.token_file else settings.home / "token"
