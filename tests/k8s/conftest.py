"""Clusters that tests share: started once, with a namespace for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.k8s.installation import install_crd
from tests.k8s.kube import REPOSITORIES, Kube
from tests.kubernetes import images
from tests.kubernetes.cluster import ApiServer, control_plane, real_node
from tests.kubernetes.volumes import volumes


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


@pytest.fixture
async def kube(api_server: ApiServer, namespace: str) -> AsyncIterator[Kube]:
    """A client in the test's own namespace, where Repositories can be made."""
    async with Kube(api_server.kubeconfig, namespace) as client:
        await install_crd(client)
        yield client
        for name in [one["metadata"]["name"] for one in await client.items(REPOSITORIES)]:  # else the namespace stays
            await client.patch(f"{REPOSITORIES}/{name}", {"metadata": {"finalizers": None}})


@pytest.fixture(scope="session")
def node() -> Iterator[ApiServer]:
    """A cluster for the whole session whose one node runs containers, with images of what the checkout has now."""
    with real_node(images=images.build()) as server, volumes(server):
        yield server
