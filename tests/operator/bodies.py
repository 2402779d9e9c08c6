"""Repository resources and what the engine tells of them, for tests."""

from typing import Any

from nearcode.domain.repository import RepositoryState, RepositoryStatus, repository_id
from nearcode_operator.model import Resource
from nearcode_operator.resources import parse

URL = "https://git.example.com/team/shop"
COMMIT = "4f0c2a9d1b7e8c3a5d6f7081920a1b2c3d4e5f60"


def body(name: str = "shop", namespace: str = "code", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Repository as the API server has it."""
    return {
        "apiVersion": "nearcode.dev/v1alpha1",
        "kind": "Repository",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "generation": 3,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {"url": URL, **spec},
        "status": status or {},
    }


def resource(name: str = "shop", status: dict[str, Any] | None = None, **spec: Any) -> Resource:
    """The same, read."""
    return parse(body(name, status=status, **spec))


def engine(branch: str = "main", state: RepositoryState = RepositoryState.READY, **values: Any) -> RepositoryStatus:
    """What the engine lists of the branch."""
    served = {"revision": COMMIT, "files": 1234, "chunks": 9000, "seconds": 12.04} if state is RepositoryState.READY else {}
    defaults: dict[str, Any] = {"generation": 1, "wanted": COMMIT, **served}
    return RepositoryStatus(
        id=repository_id(URL, branch), url=URL, name="team/shop", branch=branch, state=state, **defaults | values
    )
