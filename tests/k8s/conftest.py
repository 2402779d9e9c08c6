"""Clusters that tests share: started once, with a namespace for each test."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster import ApiServer, control_plane


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A control plane for the whole session, whose nodes only claim to run pods."""
    with control_plane() as server:
        yield server


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[str]:
    """A namespace of the test's own on it."""
    with api_server.namespace() as name:
        yield name
