"""Which indexed repository a path belongs to."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from nearcode.cli.program import Client
from nearcode.domain.errors import NotFound
from nearcode.domain.repository import RepositoryState, RepositoryStatus, Workspace


@dataclass(frozen=True, slots=True)
class Located:
    """An indexed repository and a path inside it: a folder or a file, with slashes, empty for the root."""

    status: RepositoryStatus
    root: Path | None
    inside: str = ""

    def workspace(self) -> Workspace:
        """The repository as the assistant knows it, narrowed to the path."""
        return Workspace((self.status.url,), relative_path=self.inside)

    def whole(self) -> Workspace:
        """The repository, not narrowed."""
        return Workspace((self.status.url,))

    def file(self, path: str) -> Path:
        """A path of the repository as the terminal's user finds it."""
        return (self.root or Path()) / path


def folder_url(path: Path) -> str:
    """The URL of a folder on this machine."""
    return path.resolve().as_uri()


def folder_of(url: str) -> Path | None:
    """The folder that a URL names, if it is one on this machine."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def shown_name(status: RepositoryStatus) -> str:
    """What names a repository to a person and in `--repo`: its folder, or its URL."""
    return str(folder_of(status.url) or status.url)


def locate(statuses: list[RepositoryStatus], repo: str) -> Located:
    """The repository with this URL, or the innermost one that holds this path. Raises NotFound."""
    if "://" in repo:
        for status in statuses:
            if status.url == repo:
                return Located(status, folder_of(repo))
        raise NotFound(f"{repo} is not connected")
    path = Path(repo).expanduser().resolve()
    roots = [(root, status) for status in statuses if (root := folder_of(status.url)) and path.is_relative_to(root)]
    if not roots:
        raise NotFound(f"{path} is not indexed yet; run `nearcode index {advised(path)}` first")
    root, status = max(roots, key=lambda pair: len(pair[0].parts))
    inside = path.relative_to(root).as_posix()
    return Located(status, root, "" if inside == "." else inside)


def advised(path: Path) -> Path:
    """The folder to index so that a path is found: the work tree that holds it, or the nearest folder."""
    folder = path if path.is_dir() else path.parent
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


async def find(client: Client, repo: str) -> Located:
    """Like `locate`, among what the engine knows; the repository must have been indexed once."""
    located = locate(await client.repositories.list_repositories(client.user), repo)
    if not located.status.revision and located.status.state is not RepositoryState.READY:
        name = shown_name(located.status)
        raise NotFound(f"{name} cannot be searched yet; run `nearcode index {name}` and let it end")
    return located
