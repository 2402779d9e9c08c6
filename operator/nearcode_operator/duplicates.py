"""Who owns the index of a URL and branch when several resources name it: the oldest."""

from collections.abc import Iterable, Mapping

from nearcode.domain.repository import repository_id
from nearcode_operator.model import Key, Resource


def repositories(resource: Resource) -> dict[str, str]:
    """The engine's repository ids that a resource names, by branch, in the order of its branches."""
    return {branch: repository_id(resource.url, branch) for branch in resource.branches}


def owners(resources: Iterable[Resource]) -> dict[str, Key]:
    """The owner of each repository id. A suspended resource keeps what it owns; one that is being deleted, until it is gone."""
    raise NotImplementedError


def taken(resource: Resource, owned: Mapping[str, Key]) -> dict[str, Key]:
    """Repository ids that this resource names and another one owns."""
    raise NotImplementedError


def dropped(resource: Resource, owned: Mapping[str, Key]) -> dict[str, str]:
    """Branches, by repository id, that its status names, its spec does not (any more), and nobody else owns: to be
    disconnected. For a resource that is being deleted: every one that it names in spec or status and owns."""
    raise NotImplementedError
