"""What the operator knows: resources as they were written, the engine and the cluster as they were seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nearcode.domain.backlog import Backlog
from nearcode.domain.policy import SPACES, IndexPolicy
from nearcode.domain.repository import RepositoryStatus

GROUP, VERSION, PLURAL, KIND = "nearcode.dev", "v1alpha1", "repositories", "Repository"


@dataclass(frozen=True, slots=True)
class Key:
    """Names a resource, or a Job."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Pods that may work on a repository's backlog at once."""

    minimum: int = 1
    maximum: int = 4


@dataclass(frozen=True, slots=True)
class Resource:
    """A Repository resource. `generation` is Kubernetes' count of changes of its spec, not nearcode's of its commits."""

    key: Key
    uid: str
    generation: int
    created: str
    """RFC 3339, as Kubernetes writes it. With `uid` it decides who came first."""
    url: str
    branches: tuple[str, ...]
    policy: IndexPolicy = field(default_factory=lambda: IndexPolicy(spaces=SPACES))
    schedule: str = ""
    """Five fields of cron, in UTC."""
    credentials: str = ""
    """Name of a Secret in the same namespace; empty for public repositories."""
    limits: Limits = Limits()
    priority: int = 0
    suspended: bool = False
    deleting: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)
    """As the operator last wrote it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine at one moment: its repositories by id, and its queues."""

    repositories: Mapping[str, RepositoryStatus] = field(default_factory=dict)
    backlog: Backlog = field(default_factory=Backlog)


@dataclass(frozen=True, slots=True)
class Job:
    """An indexing Job as the cluster tells it. `repository` and `generation` are the engine's."""

    key: Key
    repository: str
    generation: int
    parallelism: int
    active: int = 0
    succeeded: bool = False
    failed: bool = False
    deleting: bool = False
