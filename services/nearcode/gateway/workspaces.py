"""Which repositories a workspace means. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from nearcode.domain.errors import NotFound
from nearcode.domain.repository import RepositoryStatus, Workspace
from nearcode.domain.retrieval import CodeCursor


@dataclass(frozen=True, slots=True)
class Place:
    """A repository, and the folder inside it that is meant (empty: all of it)."""

    repository: RepositoryStatus
    folder: str = ""

    def cursor(self, cursor: CodeCursor) -> CodeCursor:
        """A cursor whose path begins at the repository's root instead of this folder."""
        return replace(cursor, path=f"{self.folder}/{cursor.path}") if self.folder else cursor


def resolve(workspace: Workspace, readable: Sequence[RepositoryStatus]) -> Place:
    """The repository that the workspace lies in: the one with a remote of the same name, or whose folder holds it.

    Raises NotFound, the same for a repository that is not connected and one that the caller may not read.
    """
    best: Place | None = None
    for remote in workspace.remotes:
        for repository in readable:
            inside = _inside(remote, repository)
            if inside is None:
                continue
            folder = "/".join(part for part in (inside, workspace.relative_path.strip("/")) if part)
            if best is None or len(repository.url) > len(best.repository.url):
                best = Place(repository, folder)
    if best is None:
        named = ", ".join(_shown(remote) for remote in workspace.remotes) or "no remote"
        raise NotFound(f"not indexed, or not readable for you: {named}. Run `nearcode index` on it first")
    return best


def resolve_all(workspaces: Iterable[Workspace], readable: Sequence[RepositoryStatus]) -> list[Place]:
    """Each workspace's place; without workspaces, everything readable."""
    places = [resolve(workspace, readable) for workspace in workspaces]
    return places or [Place(repository) for repository in readable]


def _inside(remote: str, repository: RepositoryStatus) -> str | None:
    """The folder of the repository that a remote names; None when it names something else."""
    if remote.startswith("file:") and repository.url.startswith("file:"):
        path, root = _path(remote), _path(repository.url)
        if path == root or root in path.parents:
            inside = str(path.relative_to(root))
            return "" if inside == "." else inside
        return None
    return "" if _plain(remote) == _plain(repository.url) else None


def _path(url: str) -> PurePosixPath:
    return PurePosixPath(unquote(urlsplit(url).path))


def _shown(remote: str) -> str:
    return str(_path(remote)) if remote.startswith("file:") else remote


def _plain(url: str) -> str:
    """`git@host:a/b.git`, `ssh://git@host/a/b` and `https://host/a/b/` are the same place."""
    text = url.strip()
    if "://" not in text and ":" in text:
        host, _, path = text.partition(":")
        text = f"ssh://{host}/{path}"
    parts = urlsplit(text)
    return f"{(parts.hostname or '').lower()}/{parts.path.strip('/').removesuffix('.git')}"
