"""What a Repository resource shows: observations become its status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nearcode.domain.repository import RepositoryStatus
from nearcode_operator.conditions import Fault
from nearcode_operator.model import Job, Key, Resource


@dataclass(frozen=True, slots=True)
class Observation:
    """What was found of one resource. All mappings are by the engine's repository id."""

    repositories: Mapping[str, RepositoryStatus] | None = field(default_factory=dict)
    """What the engine lists of this resource's repositories (more does no harm); None when the engine does not answer."""
    unavailable: str = ""
    """Why it does not answer."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the resource as it is written: InvalidSpec, ImpossibleSchedule, SecretMissing."""
    taken: Mapping[str, Key] = field(default_factory=dict)
    """Repositories that another resource owns, see `duplicates.taken`."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why the last Connect or Sync of a repository failed. Taken out once one succeeds."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
    """The indexing Job of a repository. One with parallelism 0 waits for budget."""
    last_sync: datetime | None = None
    """When the engine last looked at the git server for this resource (Connect or Sync), if it was in this sweep."""
    next_sync: datetime | None = None


def observed(resource: Resource, seen: Observation, now: datetime) -> dict[str, Any]:
    """The status to write: equal to `resource.status` when nothing changed but the clock."""
    raise NotImplementedError


def intended(resource: Resource) -> dict[str, Any]:
    """The status to write before the engine hears of a branch for the first time: `resource.status` with every branch of the
    spec in `branches`, so that whoever deletes the resource knows what to disconnect."""
    raise NotImplementedError
