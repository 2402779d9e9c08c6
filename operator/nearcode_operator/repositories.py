"""Repository resources as the watch shows them."""

from dataclasses import dataclass
from datetime import datetime

from nearcode_operator import resources
from nearcode_operator.conditions import condition
from nearcode_operator.model import Resource
from nearcode_operator.ports import Manifest


@dataclass(frozen=True, slots=True)
class Seen:
    """A resource, what is wrong with its spec, and whether our finalizer is on it: before, nothing may be done for it."""

    resource: Resource
    problems: tuple[str, ...] = ()
    guarded: bool = False

    @property
    def ready_reason(self) -> str:
        """Why it is Ready, or not; empty before anything was told."""
        return str(condition(self.resource.status, "Ready").get("reason", ""))


def read(body: Manifest) -> Seen:
    """What is kept of a resource."""
    guarded = resources.FINALIZER in (body["metadata"].get("finalizers") or ())
    try:
        return Seen(resources.parse(body), (), guarded)
    except resources.InvalidSpec as error:
        return Seen(error.resource, error.problems, guarded)


def last_sync(resource: Resource) -> datetime | None:
    """When the git server was last looked at for it, as its status says."""
    text = resource.status.get("lastSync")
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None  # not ours: somebody else wrote it
