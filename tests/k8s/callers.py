"""Calls to an engine on a cluster, from outside it: as an IDE and as another service would."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from google.protobuf.descriptor import ServiceDescriptor
from nearcode.api.assistant.v1 import assistant_pb2
from nearcode.api.ingestion.v1 import ingestion_pb2
from nearcode.domain.errors import NotFound
from nearcode.domain.repository import RepositoryStatus, Workspace
from nearcode.gateway.rpc import RemoteAssistant
from nearcode.ingestion.rpc import RemoteIngestion
from nearcode.runtime.channel import Client, connect
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.tls import Tls

ANSWER_SECONDS = 5.0
FILES = ("ca.crt", "tls.crt", "tls.key")


class Callers:
    """Callers of the service `name` at `address`, with what the data of the release's Secrets give them: certificates and a
    token."""

    def __init__(self, address: str, name: str, secrets: Mapping[str, str], folder: Path) -> None:
        self._address, self._token, self._folder = address, base64.b64decode(secrets["token"]).decode().strip(), folder
        folder.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            (folder / file).touch(0o600)
            (folder / file).write_bytes(base64.b64decode(secrets[file]))
        ca, cert, key = (folder / file for file in FILES)
        self._tls = TlsSettings(ca_file=ca, cert_file=cert, key_file=key, server_name=name)

    def search(self, url: str, query: str) -> list[str]:
        """Paths of what is found in a repository."""

        async def ask() -> list[str]:
            async with self._client(assistant_pb2.DESCRIPTOR.services_by_name["AssistantService"]) as client:
                found = await RemoteAssistant(client).search("", [Workspace((url,))], query, 5, 0.0, ANSWER_SECONDS)
                return [snippet.path for snippet in found.snippets]

        return asyncio.run(ask())

    def manifest(self, repository: str) -> RepositoryStatus | None:
        """What the engine knows of a repository; None when it knows nothing."""

        async def ask() -> RepositoryStatus | None:
            async with self._client(ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"]) as client:
                try:
                    return await RemoteIngestion(client).get(repository)
                except NotFound:
                    return None

        return asyncio.run(ask())

    @asynccontextmanager
    async def _client(self, service: ServiceDescriptor) -> AsyncIterator[Client]:
        channel = connect(self._address, self._token, Tls(self._tls, self._folder))
        try:
            yield Client(channel, service)
        finally:
            await channel.close()
