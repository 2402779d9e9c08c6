"""Languages whose packages, namespaces or modules are dotted names that follow the folders: Java, Kotlin, Scala, C#, PHP,
Haskell, Lua, Elixir. No build file is read: a name is matched with the ends of paths."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from nearcode.domain.graph import Import
from nearcode.retrieval.resolution.tree import Tree, nearest

_GROUP = re.compile(r"^(.*?)[.\\]?\{(.*)\}$")
_SPLIT = re.compile(r"[.\\]+")
_SOURCES = frozenset({"src", "lib", "lua", "app", "test", "tests"})
_FEW = 8
"""Files whose order matters; a larger package is narrowed by what is used of it."""
_LEAST = 2
"""Last parts of a name that a folder must end with when it does not end with all of them: Kotlin and C# leave out a root."""


def expanded(target: str) -> Iterator[str]:
    """`a.{B, C => D}, e._` names a.B, a.C and e."""
    if target.isidentifier() or not (" " in target or "{" in target or "," in target):
        yield target.rstrip("._*;")
        return
    depth, start, parts = 0, 0, []
    for at, letter in enumerate(target):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and not depth:
            parts.append(target[start:at])
            start = at + 1
    for part in (*parts, target[start:]):
        plain = part.strip().removeprefix("import ").removeprefix("static ").strip()
        if group := _GROUP.match(plain):
            names = [name.split("=>")[0].split(" as ")[0].strip() for name in group.group(2).split(",")]
            yield from (f"{group.group(1)}.{name}".rstrip("._*") for name in names if name)
        else:
            yield plain.split(" as ")[0].strip().rstrip("._*;")


class DottedResolver:
    """Names to files: that of the name itself, or of what encloses it, or those of its folder."""

    def __init__(
        self,
        tree: Tree,
        extensions: Sequence[str],
        *,
        split_folders: bool = False,
        whole: str = "",
        spelled: Callable[[str], str] = str,
        barrel: str = "",
    ) -> None:
        """`split_folders`: a folder's name may be dotted, too (C#). `whole`: names that begin with one of these (a pattern)
        come from elsewhere, unless a folder ends with all of it. `spelled`: how a part is spelled in paths. `barrel`: the file
        that stands for its folder."""
        self._extensions, self._whole, self._spelled, self._barrel = tuple(extensions), re.compile(whole), spelled, barrel
        self._elsewhere = bool(whole)
        self._folders: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        self._files: dict[str, list[str]] = defaultdict(list)
        self._inside: dict[str, list[str]] = defaultdict(list)
        for path in sorted(tree.paths):
            if path.endswith(self._extensions):
                folder, name = posixpath.split(path)
                self._files[name.split(".")[0]].append(path)
                if folder not in self._inside:
                    parts = tuple(_SPLIT.sub("/", folder).split("/") if split_folders else folder.split("/"))
                    self._folders[parts[-1]].append((parts, folder))
                self._inside[folder].append(path)
        self._found: dict[str, tuple[str, ...]] = {}

    def resolve(self, path: str, imported: Import) -> tuple[str, ...]:
        """The files of every name of the import, the nearest to the importing file first where a few fit."""
        found = self._found.get(imported.target)
        if found is None:
            names = expanded(imported.target)
            found = self._found[imported.target] = tuple(dict.fromkeys(file for name in names for file in self._name(name)))
        return tuple(nearest(path, found)) if 1 < len(found) <= _FEW else found

    def _name(self, name: str) -> Iterable[str]:
        parts = [self._spelled(part) for part in _SPLIT.split(name) if part]
        return self._search(parts, self._elsewhere and bool(self._whole.match(name))) if parts else ()

    def _search(self, parts: list[str], elsewhere: bool) -> Iterable[str]:
        """The longest beginning of the name that is a file; else the folder of it, or of all but the last part."""
        for length in range(len(parts), max(min(1, len(parts) - 1), len(parts) - 3), -1):
            if found := self._file(parts[:length], elsewhere):
                return found
        return self._folder(parts, elsewhere) or (self._folder(parts[:-1], elsewhere) if len(parts) > _LEAST else [])

    def _file(self, parts: Sequence[str], elsewhere: bool) -> list[str]:
        *package, name = parts
        found = [path for path in self._files.get(name, ()) if _fits(path.split("/")[:-1], package, elsewhere)]
        if not found and self._barrel:
            barrels = self._files.get(self._barrel, ())
            found = [path for path in barrels if _fits(path.split("/")[:-1], list(parts), elsewhere)]
        return found

    def _folder(self, parts: Sequence[str], elsewhere: bool) -> list[str]:
        """The files of the folders that end with the most of these parts."""
        best = 0
        found: list[str] = []
        for folders, folder in self._folders.get(parts[-1], ()):
            length = _common_end(folders, parts)
            enough = length == len(parts) or (length >= _LEAST and not elsewhere)
            if enough and length >= best:
                found = [*found, folder] if length == best else [folder]
                best = length
        return [path for folder in found for path in self._inside[folder]]


def _fits(folders: Sequence[str], package: Sequence[str], elsewhere: bool) -> bool:
    """Whether folders end with the package, or with at least its last two parts where its first ones stand for no folder. A
    name without a package lies in a folder of sources."""
    if not package:
        return not folders or folders[-1] in _SOURCES
    length = _common_end(folders, package)
    return length == len(package) or (length >= _LEAST and not elsewhere)


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length


def underscored(part: str) -> str:
    """`OrderView` is `order_view` in Elixir's paths."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", part).lower()
