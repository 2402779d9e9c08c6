"""Python: relative imports, packages below the root, below `src` and other source roots, and modules beside a script."""

import posixpath
import sys
from collections import defaultdict

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.tree import Tree, shared

_SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")
_DEEPEST = 30
"""Parts of a module's name that are looked at."""
_STANDARD = sys.stdlib_module_names - {"test"}
"""Modules of the standard library: a file with such a name is meant only by a relative import."""


class PythonResolver:
    """Modules to files. A package is its `__init__.py`; one without stands for nothing but its modules."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._modules: dict[str, str] = {}
        self._roots: dict[str, set[str]] = defaultdict(set)
        self._found: dict[tuple[str, str], str | None] = {}
        packages: set[str] = set()
        for path in sorted(tree.paths, reverse=True):  # reversed: .py wins over .pyi, .pyx and .pxd
            stem, extension = posixpath.splitext(path)
            if extension in _SUFFIXES:
                folder, _, name = stem.rpartition("/")
                if name == "__init__":
                    packages.add(folder)
                    self._modules[folder] = path
                else:
                    self._modules[stem] = path
        self._packages = packages
        self._find_roots()

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The files of the module, or of those of its names that are modules themselves."""
        target = imported.target
        module = target.lstrip(".")
        dots = len(target) - len(module)
        if dots:
            base = self._above(posixpath.dirname(path), dots - 1)
            place = None if base is None else "/".join(part for part in (base, *module.split(".")) if part)
        else:
            place = self._absolute(path, module)
        return () if place is None else self._files(place, imported.names)

    def _files(self, place: str, names: tuple[str, ...]) -> tuple[str, ...]:
        submodules = {name: self._modules.get(f"{place}/{name}" if place else name) for name in names}
        found = [file for file in submodules.values() if file]
        own = self._modules.get(place)
        if own and (not names or len(found) < len(names)):
            found.append(own)
        return tuple(dict.fromkeys(found))

    @staticmethod
    def _above(folder: str, levels: int) -> str | None:
        parts = folder.split("/") if folder else []
        return "/".join(parts[: len(parts) - levels]) if levels <= len(parts) else None

    def _absolute(self, path: str, module: str) -> str | None:
        """The place of a module, below the root that lies nearest to whoever imports it."""
        folder = posixpath.dirname(path)
        key = (folder, module)
        if key not in self._found:
            self._found[key] = self._search(folder, module)
        return self._found[key]

    def _search(self, folder: str, module: str) -> str | None:
        parts = module.split(".")[:_DEEPEST]
        if parts[0] in _STANDARD:
            return None
        mine = folder.split("/")
        roots = sorted(self._roots.get(parts[0], ()), key=lambda root: (-shared(mine, root.split("/")), len(root), root))
        inside = [root for root in roots if self._is_root(root, folder)]
        for length in range(len(parts), 0, -1):  # `import a.b.Name`, and names of modules that are not in the repository
            for root in inside:
                place = "/".join((*([root] if root else []), *parts[:length]))
                if place in self._modules or (length == len(parts) and place in self._tree.folders):
                    return place
        return None

    def _is_root(self, root: str, folder: str) -> bool:
        """Whether modules below `root` can be imported by their names: never inside of a package; where nothing marks it as a
        source root, only by what lies below it."""
        if root in self._packages:
            return False
        return not root or root in self._sources or folder == root or folder.startswith(root + "/")

    def _find_roots(self) -> None:
        """For each first name, the folders in which it is a module, a package, or a folder with modules."""
        self._sources = {posixpath.dirname(folder) for folder in self._packages} - self._packages
        seen: set[str] = set()
        for place in self._modules:
            while place and place not in seen:
                seen.add(place)
                folder, _, name = place.rpartition("/")
                self._roots[name].add(folder)
                place = folder
