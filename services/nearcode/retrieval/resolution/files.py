"""Languages that import files by their path: C and its relatives, Ruby, PHP's `require`, shells, Zig, styles and pages."""

import posixpath
import re

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.tree import Tree, join, nearest

_VARIABLE = re.compile(r"^(?:\$\{[^}]*\}|\$\([^)]*\)|\$\w+|~|__DIR__)/?")
_LOADED = frozenset({"", "lib", "app", "test", "tests", "spec", "ext", "include", "inc", "src"})
"""Folders that a load path or an include path holds."""


class FileResolver:
    """Beside the importing file, or below any folder that a search path may hold, the nearest first."""

    def __init__(self, tree: Tree, extensions: tuple[str, ...] = (), prefixes: tuple[str, ...] = ("",)) -> None:
        """`extensions` and `prefixes` of the file's name may be left out of an import."""
        self._tree, self._extensions, self._prefixes = tree, ("", *extensions), prefixes
        self._found: dict[tuple[str, str], tuple[str, ...]] = {}

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The file, or several where the search path decides."""
        folder = path.rpartition("/")[0]
        key = (folder, imported.target)
        if key not in self._found:
            self._found[key] = self._search(folder, imported.target)
        return self._found[key]

    def _search(self, folder: str, target: str) -> tuple[str, ...]:
        system = target.startswith("<")
        plain = _VARIABLE.sub("", target.strip("<>")).split("?")[0].split("#")[0]
        if not plain or "//" in plain:
            return ()
        names = [self._named(plain, prefix, extension) for extension in self._extensions for prefix in self._prefixes]
        beside = (
            None if system else next((at for name in names if (at := join(folder, name.lstrip("/"))) in self._tree.paths), None)
        )
        if beside:
            return (beside,)
        plain_names = [re.sub(r"^(?:\.{1,2}/)+|^/", "", name) for name in names]
        roots = {path: path[: -len(name)].rstrip("/") for name in plain_names for path in self._tree.ending(name)}
        found = [path for path, root in roots.items() if _searched(root, plain, folder, system)]
        loaded = [path for path in found if posixpath.basename(roots[path]) in _LOADED]
        return tuple(nearest(f"{folder}/", loaded or found)[:1])

    @staticmethod
    def _named(plain: str, prefix: str, extension: str) -> str:
        head, _, name = plain.rpartition("/")
        return f"{head}/{prefix}{name}{extension}" if head else f"{prefix}{name}{extension}"


def _searched(root: str, plain: str, folder: str, system: bool) -> bool:
    """Whether a search path may hold the folder `root`. In brackets, a bare name is mostly the system's."""
    last = posixpath.basename(root)
    if system and "/" not in plain:
        return last in ("include", "inc")
    return last in _LOADED or "/" in plain or folder == root or folder.startswith(root + "/")
