"""Servers that many tests share. A test that stops or breaks a server starts its own with `tests.servers`."""

from collections.abc import Iterator

import pytest

from tests.servers import Server, nats_server, qdrant_server


@pytest.fixture(scope="session")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Qdrant server for the whole session."""
    with qdrant_server(tmp_path_factory.mktemp("qdrant")) as server:
        yield server


@pytest.fixture(scope="session")
def qdrant_url(qdrant: Server) -> str:
    """The REST address of the session's Qdrant; `grpc_port` beside it is `qdrant.ports["grpc"]`."""
    return qdrant.url


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the session's NATS with JetStream."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server.url
