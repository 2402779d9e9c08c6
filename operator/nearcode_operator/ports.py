"""What the operator's work needs from others: the engine, and the cluster. Raises the failures of `domain/errors.py`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import RepositoryStatus

from nearcode_operator.model import Engine, Key

Manifest = Mapping[str, Any]
"""A Kubernetes object as it is written in JSON."""


class Listing(NamedTuple):
    """All objects of a kind at one moment."""

    items: Sequence[Manifest]
    version: str
    """The cluster's resource version then."""


class EngineApi(Protocol):
    """The engine: see the proto's IngestionService."""

    async def observe(self) -> Engine:
        """All repositories with their coverage, and what waits: two calls, whatever their number."""
        ...

    async def connect(self, url: str, branch: str, policy: IndexPolicy) -> RepositoryStatus:
        """Follows a branch, or changes its policy."""
        ...

    async def sync(self, repository: str) -> RepositoryStatus:
        """Fetches, and wants the head."""
        ...

    async def disconnect(self, repository: str) -> None:
        """Deletes everything of a repository. One that is not there is no error."""
        ...


class ClusterApi(Protocol):
    """The cluster: one namespace of it."""

    async def repositories(self) -> Listing:
        """All Repositories."""
        ...

    async def jobs(self) -> Listing:
        """Our indexing Jobs."""
        ...

    async def create_job(self, manifest: Manifest) -> Manifest | None:
        """Makes a Job. None if there is one of this name."""
        ...

    async def scale_job(self, key: Key, parallelism: int) -> Manifest | None:
        """Changes how many pods a Job may have. None if it is gone."""
        ...

    async def delete_job(self, key: Key) -> None:
        """Deletes a Job with its pods. One that is gone is no error."""
        ...

    async def replicas(self, deployment: str) -> int | None:
        """How many pods a Deployment wants; None if there is no such Deployment."""
        ...

    async def scale_deployment(self, deployment: str, replicas: int) -> None:
        """Changes how many pods a Deployment wants."""
        ...

    async def patch_status(self, key: Key, changes: Manifest) -> Manifest | None:
        """Merges `changes` into the status of a Repository. The resource as it is then; None if it is gone."""
        ...

    async def post_event(self, event: Manifest) -> None:
        """Tells an event; telling it twice is one event."""
        ...

    async def secret(self, name: str) -> Mapping[str, str] | None:
        """The values of a Secret, in base64; None if there is none."""
        ...

    async def write_secret(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Changes values of a Secret that is ours, in base64. None takes a value out."""
        ...
