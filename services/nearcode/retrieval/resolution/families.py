"""Which resolver reads a file's imports, by the file's name."""

import posixpath
from collections.abc import Callable
from types import MappingProxyType
from typing import Protocol

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.python import PythonResolver
from nearcode.retrieval.resolution.tree import Tree


class Resolver(Protocol):
    """Finds the files that an import of a file names, the surest first; none for what lies outside of the repository."""

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]: ...


FAMILIES: MappingProxyType[str, Callable[[Tree], Resolver]] = MappingProxyType(
    dict.fromkeys((".py", ".pyi", ".pyx", ".pxd", ".pyw"), PythonResolver)
)
"""Resolvers by extension."""


class Resolution:
    """The resolvers of one tree, each made when the first file asks for it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._made: dict[Callable[[Tree], Resolver], Resolver] = {}

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The files that an import names, without the importing one."""
        make = FAMILIES.get(posixpath.splitext(path)[1].lower())
        if make is None:
            return ()
        if make not in self._made:
            self._made[make] = make(self._tree)
        return tuple(file for file in self._made[make].resolve(path, imported) if file != path)
