"""A repository's files, as resolvers look them up."""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from nearcode.domain.graph import Project


class Tree:
    """Paths and projects of one revision. Folders have no slash at the end; the root is the empty string."""

    def __init__(self, paths: Iterable[str], projects: Sequence[Project] = ()) -> None:
        self.paths = frozenset(paths)
        self.projects = tuple(projects)

    @cached_property
    def folders(self) -> dict[str, list[str]]:
        """The files directly in each folder, sorted."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.paths):
            found[posixpath.dirname(path)].append(path)
        return dict(found)

    @cached_property
    def named(self) -> dict[str, list[str]]:
        """Files by their name in lower case, sorted."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.paths):
            found[posixpath.basename(path).lower()].append(path)
        return dict(found)

    def files(self, folder: str, *extensions: str) -> list[str]:
        """Files directly in a folder that end with one of these."""
        return [path for path in self.folders.get(folder, ()) if path.endswith(extensions)]

    def ending(self, suffix: str) -> list[str]:
        """Files whose last parts are these."""
        name = posixpath.basename(suffix).lower()
        return [path for path in self.named.get(name, ()) if path == suffix or path.endswith("/" + suffix)]

    def projects_above(self, path: str, kind: str) -> list[Project]:
        """Projects of a kind whose folder holds the path, the innermost first."""
        found = [each for each in self.projects if each.kind == kind and within(path, each.folder)]
        return sorted(found, key=lambda each: (-len(each.folder), each.folder))


def within(path: str, folder: str) -> bool:
    """Whether a path lies in a folder or in one of its folders."""
    return not folder or path == folder or path.startswith(folder + "/")


def join(folder: str, relative: str) -> str | None:
    """A relative path from a folder; None when it leaves the repository."""
    path = posixpath.normpath(posixpath.join(folder, relative)) if relative else folder
    return None if path.startswith(("../", "/")) or path == ".." else ("" if path == "." else path)


def nearest(path: str, candidates: Sequence[str]) -> list[str]:
    """Candidates by how many of their first folders they share with a path, then the shortest first."""
    mine = path.split("/")
    return sorted(candidates, key=lambda each: (-shared(mine, each.split("/")), len(each), each))


def shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many first parts two paths share."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
