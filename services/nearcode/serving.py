"""The doors of a process: gRPC for the services it runs, HTTP for operators, health behind both."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
from prometheus_client import CollectorRegistry, Gauge

from nearcode.app import App, token_file
from nearcode.auth.local import LocalAuthenticator
from nearcode.auth.token import TokenAuthenticator
from nearcode.metering import Metering, meter
from nearcode.runtime.admission import Admission
from nearcode.runtime.deadlines import DISCONNECT_SECONDS, SYNC_SECONDS
from nearcode.runtime.ending import end
from nearcode.runtime.health import Health
from nearcode.runtime.home import Engine
from nearcode.runtime.metrics import AdmissionMetrics
from nearcode.runtime.observations import Observations
from nearcode.runtime.ops import OpsServer
from nearcode.runtime.server import RpcServer, rpc_handler
from nearcode.settings import dump
from nearcode.stores import SERVICES

if TYPE_CHECKING:
    import ssl

    from nearcode.runtime.settings import ServiceSettings

_LONG = {
    "Digest": 600.0,
    "CompareModels": 600.0,
    "UseModel": 60.0,
    "Chat": 600.0,
    "Complete": 60.0,
    "Sync": SYNC_SECONDS,
    "Disconnect": DISCONNECT_SECONDS,
}
"""Seconds of methods that may take longer than the default."""


class Serving:
    """Opens the doors of an app; `async with` closes them first and lets calls finish. `addresses` tells where they are."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._health = Health()
        self._registry = CollectorRegistry()
        self._stack = AsyncExitStack()
        self._opened = False
        self.addresses: dict[str, str] = {}

    async def __aenter__(self) -> "Serving":
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._health.drain()
        await self._stack.aclose()

    @property
    def ready(self) -> bool:
        """Whether everything is open and what this process needs answers."""
        return self._opened and self._health.ready

    async def _open(self) -> None:
        app = self._app
        listen = "" if app.share.repository else self._listen()  # nobody calls a Job's process
        credentials, context = self._certificates(listen)  # before anything slow starts
        metering = meter(self._registry, app.targets, app.settings.ops.repository_labels)
        app.observers = metering.observers
        await app.warm()
        await self._add_checks()
        await self._health.start()
        self._stack.push_async_callback(self._health.stop)
        if listen:
            await self._open_services(listen, credentials, metering)
        if app.settings.ops.listen:
            await self._open_ops(context, metering)
        await app.start_workers()
        if "ingestion" in app.targets and app.settings.ingestion.watch:
            await self._watch_folders()
        if "generation" in app.targets:
            self._warming = asyncio.create_task(app.warm_model())
            self._stack.callback(self._warming.cancel)
        self._announce()
        self._opened = True

    async def _open_services(self, listen: str, credentials: "grpc.ServerCredentials | None", metering: Metering) -> None:
        app = self._app
        handlers = [handler for service in SERVICES if service in app.targets for handler in await self._handlers(service)]
        if app.targets & {"gateway", "ingestion"}:
            handlers.append(await self._spaces())
        local = listen.startswith("unix:")
        server = RpcServer(
            listen,
            handlers,
            authenticator=LocalAuthenticator() if local else self._tokens(),
            health=self._health,
            reflection=app.settings.gateway.reflection,
            observe=metering.rpc.observe,
            admission=self._admission(),
            credentials=credentials,
        )
        await self._stack.enter_async_context(server)
        self.addresses["grpc"] = server.address

    async def _open_ops(self, context: "ssl.SSLContext | None", metering: Metering) -> None:
        settings = self._app.settings
        hosts = frozenset(settings.tls.names)
        ops = OpsServer(settings.ops.listen, self._registry, self._health, lambda diff: dump(settings, diff), hosts, context)
        ops.refresh = (await self._observations(metering)).refresh
        await self._stack.enter_async_context(ops)
        self.addresses["ops"] = ops.address

    async def _observations(self, metering: Metering) -> Observations:
        """What is looked up when somebody scrapes."""
        from nearcode.adapters.jetstream_backlog import Backlog

        observations = Observations(self._registry, self._app.settings.ops.refresh_seconds)
        backlog = Backlog(await self._app.nats(), (await self._app.bus()).subjects, quarantine="ingestion" in self._app.targets)

        async def queues() -> None:
            metering.events.show(())  # what cannot be told now is not told
            metering.events.show(await backlog.queues())

        observations.add("queues", queues)
        if metering.ingestion:
            show, ingestion = metering.ingestion.show, await self._app.local_ingestion()

            async def repositories() -> None:
                show(await ingestion.list_repositories(coverage=True))

            observations.add("repositories", repositories)
        return observations

    async def _watch_folders(self) -> None:
        from nearcode.ingestion.watch import FolderWatcher

        watching = asyncio.create_task(FolderWatcher(await self._app.local_ingestion()).run())

        self._stack.push_async_callback(end, [watching])

    async def _handlers(self, service: str) -> list[grpc.GenericRpcHandler]:
        """The wire side of a service, from its descriptor and the use cases that the app holds."""
        build = {
            "gateway": self._gateway,
            "ingestion": self._ingestion,
            "chunking": self._chunking,
            "embedding": self._embedding,
            "retrieval": self._retrieval,
            "generation": self._generation,
        }
        return await build[service]()

    async def _gateway(self) -> list[grpc.GenericRpcHandler]:
        from nearcode.api.assistant.v1 import assistant_pb2
        from nearcode.api.repositories.v1 import repositories_pb2
        from nearcode.gateway.repositories import RepositoriesServicer
        from nearcode.gateway.rpc import AssistantServicer

        assistant = AssistantServicer(await self._app.gateway())
        repositories = RepositoriesServicer(await self._app.repositories())
        return [_handler(assistant_pb2, assistant), _handler(repositories_pb2, repositories)]

    async def _spaces(self) -> grpc.GenericRpcHandler:
        from nearcode.api.spaces.v1 import spaces_pb2
        from nearcode.ingestion.models_rpc import SpacesServicer

        return _handler(spaces_pb2, SpacesServicer(await self._app.models()))

    async def _ingestion(self) -> list[grpc.GenericRpcHandler]:
        from nearcode.api.ingestion.v1 import ingestion_pb2
        from nearcode.ingestion.rpc import IngestionServicer

        return [_handler(ingestion_pb2, IngestionServicer(await self._app.local_ingestion()))]

    async def _chunking(self) -> list[grpc.GenericRpcHandler]:
        from nearcode.api.chunking.v1 import chunking_pb2
        from nearcode.chunking.rpc import ChunkingServicer

        return [_handler(chunking_pb2, ChunkingServicer(await self._app.chunking()))]

    async def _embedding(self) -> list[grpc.GenericRpcHandler]:
        from nearcode.api.embedding.v1 import embedding_pb2
        from nearcode.embedding.rpc import EmbeddingServicer

        return [_handler(embedding_pb2, EmbeddingServicer(await self._app.embedding()))]

    async def _retrieval(self) -> list[grpc.GenericRpcHandler]:
        from nearcode.api.retrieval.v1 import retrieval_pb2
        from nearcode.retrieval.rpc import RetrievalServicer

        return [_handler(retrieval_pb2, RetrievalServicer(await self._app.retriever()))]

    async def _generation(self) -> list[grpc.GenericRpcHandler]:
        from nearcode.api.generation.v1 import generation_pb2
        from nearcode.generation.rpc import GenerationServicer

        return [_handler(generation_pb2, GenerationServicer(await self._app.generator()))]

    async def _add_checks(self) -> None:
        """What must answer for this process to be ready. The language model is not among them: without one, the sources
        themselves are the answer."""
        self._health.add("events", (await self._app.bus()).healthy)
        if self._app.targets & {"retrieval", "embedding", "ingestion"}:
            self._health.add("index", (await self._app.index()).healthy)

    def _certificates(self, listen: str) -> "tuple[grpc.ServerCredentials | None, ssl.SSLContext | None]":
        """What the doors show, gRPC's and the operators', where they speak TLS. Raises InvalidRequest (CERTIFICATE)."""
        tls, ops = self._app.tls, self._app.settings.ops.listen
        asks = tls.settings.client_auth
        mutual = asks == "all" or (asks == "services" and "gateway" not in self._app.targets)
        credentials = tls.server_credentials(mutual) if listen and tls.encrypts(listen) else None
        context = tls.server_context() if ops and tls.encrypts(ops) else None
        if credentials or context:
            expiry = Gauge(
                "nearcode_certificate_expiry_timestamp_seconds",
                "When a certificate of this process ends: its own, and that of the authority it trusts.",
                ["certificate"],
                registry=self._registry,
            )
            expiry.labels("own").set_function(tls.expiry("certificate"))
            expiry.labels("ca").set_function(tls.expiry("ca"))
        return credentials, context

    def _listen(self) -> str:
        app = self._app
        if len(app.targets) > 1 or "gateway" in app.targets:
            given = app.settings.gateway.listen
            embedded = len(app.targets) == len(SERVICES) and sys.platform != "win32"
            return given or (f"unix:{app.home.socket()}" if embedded else "127.0.0.1:0")
        (target,) = app.targets
        settings: ServiceSettings = getattr(app.settings, target)
        return settings.listen

    def _admission(self) -> Admission | None:
        app = self._app
        alone: ServiceSettings = getattr(app.settings, next(iter(app.targets)) if len(app.targets) == 1 else "gateway")
        if not alone.admission:
            return None
        admission = Admission()
        self._registry.register(AdmissionMetrics(admission))
        return admission

    def _tokens(self) -> TokenAuthenticator:
        assert self._app.token  # made now, so that callers find it
        return TokenAuthenticator(token_file(self._app.settings))

    def _announce(self) -> None:
        """Lets commands on the same home find this process."""
        if not self._app.holds_home or "gateway" not in self._app.targets:
            return
        import os

        events = self._app.built["events_url"].result()
        self._app.home.announce(Engine(os.getpid(), self.addresses["grpc"], self.addresses.get("ops", ""), events))


def _handler(messages: Any, servicer: object) -> grpc.GenericRpcHandler:
    (service,) = messages.DESCRIPTOR.services_by_name.values()
    return rpc_handler(service, servicer, longer={name: _LONG[name] for name in _LONG if name in service.methods_by_name})
