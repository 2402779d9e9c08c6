"""Who owns the index of a URL and branch when several resources name it: the oldest."""

from collections.abc import Iterable, Mapping

from nearcode.domain.repository import repository_id

from nearcode_operator.model import Key, Resource


def repositories(resource: Resource) -> dict[str, str]:
    """The engine's repository ids that a resource names, by branch, in the order of its branches."""
    return {branch: repository_id(resource.url, branch) for branch in resource.branches}


def owners(resources: Iterable[Resource]) -> dict[str, Key]:
    """The owner of each repository id. A suspended resource keeps what it owns; one that is being deleted, until it is gone."""
    owned: dict[str, Key] = {}
    for resource in sorted(resources, key=lambda one: (one.created, one.uid)):
        for repository in repositories(resource).values():
            owned.setdefault(repository, resource.key)
    return owned


def taken(resource: Resource, owned: Mapping[str, Key]) -> dict[str, Key]:
    """Repository ids that this resource names and another one owns."""
    return {
        repository: owned[repository]
        for repository in repositories(resource).values()
        if owned.get(repository, resource.key) != resource.key
    }


def dropped(resource: Resource, owned: Mapping[str, Key]) -> dict[str, str]:
    """What is to be disconnected: branches by repository id that its status names and its spec does not (any more), and, when
    it is being deleted, those of its spec; never what another resource owns, and nothing for a spec that cannot be read."""
    if not (resource.branches or resource.deleting):
        return {}
    wanted = repositories(resource)
    known = {one["repository"]: one.get("name", "") for one in resource.status.get("branches", ()) if one.get("repository")}
    gone = {repository: branch for repository, branch in known.items() if repository not in wanted.values()}
    if resource.deleting:
        gone |= {repository: branch for branch, repository in wanted.items()}
    return {repository: branch for repository, branch in gone.items() if owned.get(repository, resource.key) == resource.key}
