"""What a sweep found of one resource, before anybody judges it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nearcode.domain.repository import RepositoryStatus

from nearcode_operator.conditions import Fault
from nearcode_operator.model import Job, Key


@dataclass(frozen=True, slots=True)
class Observation:
    """What was found of one resource. All mappings are by the engine's repository id; more in them does no harm."""

    repositories: Mapping[str, RepositoryStatus] | None = field(default_factory=dict)
    """What the engine lists; None when it does not answer."""
    unavailable: str = ""
    """Why it does not answer."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the resource as it is written: InvalidSpec, ImpossibleSchedule, SecretMissing."""
    taken: Mapping[str, Key] = field(default_factory=dict)
    """Repositories that another resource owns, see `duplicates.taken`."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Branches to be disconnected, see `duplicates.dropped`. They stay in the status until the engine has nothing of them."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why the last Connect or Sync of a repository failed; without those that succeeded since."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
    """The indexing Job of a repository. One with parallelism 0 waits for budget."""
    last_sync: datetime | None = None
    """When the git server was last looked at for this resource; None: as its status says."""
    next_sync: datetime | None = None
