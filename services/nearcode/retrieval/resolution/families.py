"""Which resolver reads a file's imports, by the file's name."""

import posixpath
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.dotted import DottedResolver, underscored
from nearcode.retrieval.resolution.ecmascript import EcmascriptResolver
from nearcode.retrieval.resolution.files import FileResolver
from nearcode.retrieval.resolution.golang import GoResolver
from nearcode.retrieval.resolution.php import PhpResolver
from nearcode.retrieval.resolution.python import PythonResolver
from nearcode.retrieval.resolution.rust import RustResolver
from nearcode.retrieval.resolution.tree import Tree


class Resolver(Protocol):
    """Finds the files that an import of a file names, the surest first; none for what lies outside of the repository."""

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]: ...


Make = Callable[[Tree], Resolver]

_JVM = partial(DottedResolver, extensions=(".java", ".kt", ".kts", ".scala", ".groovy"), whole=r"(?:javax?|kotlinx?|scala)\.")
_CSHARP = partial(DottedResolver, extensions=(".cs",), split_folders=True, whole=r"(?:System|Microsoft)\b")
_LUA = partial(DottedResolver, extensions=(".lua", ".luau"), barrel="init")
_ELIXIR = partial(DottedResolver, extensions=(".ex", ".exs"), spelled=underscored)
_HASKELL = partial(DottedResolver, extensions=(".hs", ".lhs", ".hsc"))
_C = FileResolver
_RUBY = partial(FileResolver, extensions=(".rb",))
_SHELL = partial(FileResolver, extensions=(".sh", ".bash"))
_STYLES = partial(FileResolver, extensions=(".css", ".scss", ".sass", ".less"), prefixes=("", "_"))

_EXTENSIONS: dict[Make, str] = {
    PythonResolver: ".py .pyi .pyx .pxd .pyw",
    EcmascriptResolver: ".js .jsx .mjs .cjs .es6 .ts .tsx .mts .cts .vue .svelte .astro",
    GoResolver: ".go",
    RustResolver: ".rs",
    PhpResolver: ".php .phtml",
    _JVM: ".java .kt .kts .scala .groovy .gradle",
    _CSHARP: ".cs .csx",
    _LUA: ".lua .luau",
    _ELIXIR: ".ex .exs",
    _HASKELL: ".hs .lhs .hsc",
    _C: ".c .h .cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .ipp .tpp .inl .cu .cuh .m .mm .ino .zig .html .htm",
    _RUBY: ".rb .rake .ru .gemspec",
    _SHELL: ".sh .bash .zsh .ksh .bats",
    _STYLES: ".css .scss .sass .less .pcss",
}

FAMILIES: MappingProxyType[str, Make] = MappingProxyType(
    {extension: make for make, extensions in _EXTENSIONS.items() for extension in extensions.split()}
)
"""Resolvers by extension."""


class Resolution:
    """The resolvers of one tree, each made when the first file asks for it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._made: dict[Make, Resolver] = {}

    def resolve(self, path: str, imports: Sequence[Import]) -> list[tuple[str, ...]]:
        """The files that each import of a file names, without the file itself."""
        make = FAMILIES.get(posixpath.splitext(path)[1].lower()) if imports else None
        if make is None:
            return [()] * len(imports)
        if make not in self._made:
            self._made[make] = make(self._tree)
        found = [self._made[make].resolve(path, each) for each in imports]
        return [tuple(file for file in files if file != path) if path in files else files for files in found]
