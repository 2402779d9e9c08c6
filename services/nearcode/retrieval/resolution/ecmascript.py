"""JavaScript and TypeScript: relative imports, `paths` and `baseUrl` of tsconfig.json, packages of the same workspace."""

import posixpath
from collections.abc import Iterable

from nearcode.domain.graph import Import, Project
from nearcode.retrieval.resolution.tree import Tree, join

_EXTENSIONS = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte", ".astro", ".json")
_COMPILED = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
"""TypeScript imports what a file becomes: `./a.js` is `a.ts`."""
_BUILT = ("dist", "lib", "build", "out", "esm", "cjs", "es")
"""Folders of built files: what a package names there has its source in `src`."""


class EcmascriptResolver:
    """Files with or without extension, `index` files of folders, aliases, and entries of packages by their names."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._packages = {each.name: each for each in tree.projects if each.kind == "package.json" and each.name}
        self._aliased = any(each.kind == "tsconfig.json" for each in tree.projects)

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The file, if it lies in the repository."""
        target = imported.target.split("?")[0]
        folder = path.rpartition("/")[0]
        if target.startswith((".", "/")):
            places: Iterable[str | None] = [join(folder, target) if target.startswith(".") else target.lstrip("/")]
        else:
            places = [*(self._aliases(path, target) if self._aliased else ()), *self._of_package(path, target)]
        found = (self._file(place) for place in places if place is not None)
        return tuple(dict.fromkeys(file for file in found if file))[:1]

    def _file(self, place: str) -> str | None:
        """What an import of this place means, as a bundler looks for it."""
        paths = self._tree.paths
        if place in paths:
            return place
        stem, extension = posixpath.splitext(place)
        candidates = [stem + source for source in _COMPILED.get(extension, ())]
        candidates += [place + each for each in _EXTENSIONS]
        candidates += [f"{place}/index{each}" if place else f"index{each}" for each in _EXTENSIONS]
        return next((each for each in candidates if each in paths), None)

    def _aliases(self, path: str, target: str) -> list[str | None]:
        """Places by the nearest tsconfig.json that has an alias for the import; `*` stands for the rest of it."""
        places: list[str | None] = []
        for project in self._tree.projects_above(path, "tsconfig.json"):
            for pattern, replacements in sorted(project.aliases.items(), key=lambda item: -len(item[0])):
                start, star, end = pattern.partition("*")
                if (star and target.startswith(start) and target.endswith(end)) or target == pattern:
                    rest = target[len(start) : len(target) - len(end)] if star else ""
                    places += [join(project.folder, each.replace("*", rest)) for each in replacements]
        return places

    def _of_package(self, path: str, target: str) -> list[str | None]:
        """Places in the package of this repository that the import begins with; with `#`, in the importing file's own."""
        if target.startswith("#"):
            return [place for each in self._tree.projects_above(path, "package.json")[:1] for place in _entries(each, target)]
        parts = target.split("/")
        length = 2 if target.startswith("@") else 1
        project = self._packages.get("/".join(parts[:length]))
        if project is None:
            return []
        rest = "/".join(parts[length:])
        named = _entries(project, f"./{rest}" if rest else ".")
        inside = [join(project.folder, each) for each in ((rest, f"src/{rest}") if rest else ("src/index", "src/main", ""))]
        return [*named, *inside]


def _entries(project: Project, name: str) -> list[str | None]:
    """Where a package says that one of its entries lies, and where the source of that may be."""
    places = []
    for entry in project.aliases.get(name, ()):
        relative = entry.removeprefix("./")
        first, _, rest = relative.partition("/")
        stem = rest.removesuffix(".d.ts").rsplit(".", 1)[0] if rest else ""
        places += [relative, f"src/{stem}"] if first in _BUILT and rest else [relative]
    return [join(project.folder, each) for each in places]
