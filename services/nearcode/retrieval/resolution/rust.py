"""Rust: modules of the same crate, of other crates of the workspace, and `use` lists."""

import posixpath
from collections.abc import Iterator

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.tree import Tree, join

_DEEPEST = 20
"""Braces within braces of a `use`; people write three."""
_ROOTS = ("lib.rs", "main.rs", "mod.rs")


def expanded(target: str) -> Iterator[tuple[str, ...]]:
    """`a::{self, b::{c as d, e}}` names a, a::b::c and a::b::e."""
    yield from (tuple(part for part in path.split("::") if part and part != "*") for path in _flat("", target))


def _flat(prefix: str, tree: str, depth: int = 0) -> Iterator[str]:
    head, brace, rest = tree.strip().partition("{")
    if not brace:
        name = head.split(" as ")[0].strip()
        yield prefix + ("" if name == "self" and prefix else name)
        return
    inner, start = 1, 0
    for at, letter in enumerate(rest):
        inner += (letter == "{") - (letter == "}")
        if (letter == "," and inner == 1) or inner == 0:
            if rest[start:at].strip() and depth < _DEEPEST:
                yield from _flat(prefix + head.strip(), rest[start:at], depth + 1)
            start = at + 1
        if inner == 0:
            return


class RustResolver:
    """Paths of modules to the files of the deepest one that has a file."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._crates: dict[str, str] = {}
        for project in tree.projects:
            if project.kind == "Cargo.toml" and project.name:
                paths = project.aliases.get("lib", ("src/lib.rs",))
                root = next((each for path in paths if (each := join(project.folder, path)) in tree.paths), None)
                if root:
                    self._crates.setdefault(project.name.replace("-", "_"), root)
        for path in sorted(tree.paths):
            if path.endswith("/src/lib.rs"):  # without Cargo.toml, a crate is called as its folder
                self._crates.setdefault(posixpath.basename(path[: -len("/src/lib.rs")]).replace("-", "_"), path)

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The files of every path of the import."""
        found = (self._path(path, parts) for parts in expanded(imported.target) if parts)
        return tuple(dict.fromkeys(file for file in found if file))

    def _path(self, path: str, parts: tuple[str, ...]) -> str | None:
        first, rest = parts[0], parts[1:]
        if first == "crate":
            return self._below(self._root(path), rest)
        if first == "self":
            return self._below(path, rest)
        if first == "super":
            parent = self._parent(path)
            while rest[:1] == ("super",) and parent:
                parent, rest = self._parent(parent), rest[1:]
            return self._below(parent, rest) if parent else None
        if (found := self._child(path, first)) is not None:
            return self._below(found, rest)
        return self._below(self._crates[first], rest) if first in self._crates else None

    def _below(self, module: str | None, parts: tuple[str, ...]) -> str | None:
        for part in parts:
            child = self._child(module, part) if module else None
            if child is None:
                break
            module = child
        return module

    def _child(self, module: str, name: str) -> str | None:
        folder, file = posixpath.split(module)
        inside = folder if file in _ROOTS or self._is_root(module) else module.removesuffix(".rs")
        candidates = [
            f"{inside}/{name}.rs" if inside else f"{name}.rs",
            f"{inside}/{name}/mod.rs" if inside else f"{name}/mod.rs",
        ]
        return next((each for each in candidates if each in self._tree.paths), None)

    def _parent(self, module: str) -> str | None:
        folder, file = posixpath.split(module)
        if file == "mod.rs":
            folder = posixpath.dirname(folder)
        candidates = [f"{folder}/{name}" if folder else name for name in ("mod.rs", "lib.rs", "main.rs")] + [f"{folder}.rs"]
        return next((each for each in candidates if each in self._tree.paths and each != module), None)

    def _root(self, path: str) -> str | None:
        """The crate's root: `lib.rs` or `main.rs` of the nearest folder above that has one, or the file itself."""
        folder = posixpath.dirname(path)
        while True:
            for name in ("lib.rs", "main.rs"):
                root = f"{folder}/{name}" if folder else name
                if root in self._tree.paths:
                    return root
            if not folder:
                return path
            folder = posixpath.dirname(folder)

    @staticmethod
    def _is_root(module: str) -> bool:
        """Each file directly in these folders is a crate of its own."""
        return posixpath.basename(posixpath.dirname(module)) in ("tests", "examples", "benches", "bin")
