"""Project files: the few facts of them that tell how imports are resolved. Nothing else of them is kept.

They are read though their kind is not indexed, and whatever they hold: what cannot be read says nothing.
"""

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nearcode.domain.graph import Project
from nearcode.domain.repository import Blob, FileVersion

LARGEST = 256 * 1024
"""Bytes of a project file; larger ones are not written by people."""
MOST = 2_000
"""Project files of a repository, those nearest to its root first."""
_MOST_ALIASES = 200
_MOST_PLACES = 8

_TSCONFIG = re.compile(r"^(?:ts|js)config(?:\.[\w-]+)?\.json$")
_COMMENTS = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.S)
_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.S)
_GO_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.M)

_Facts = tuple[str, dict[str, tuple[str, ...]]]


class Projects:
    """The projects of a repository, read once for each content of a file."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Project | None] = {}

    def read(
        self, files: Sequence[FileVersion], read: Callable[[Sequence[FileVersion]], Iterable[Blob]]
    ) -> tuple[Project, ...]:
        """What these files say, ordered by folder and kind. `read` gives their bytes."""
        chosen = sorted(files, key=lambda file: (file.path.count("/"), file.path))[:MOST]
        missing = [file for file in chosen if (file.path, file.blob) not in self._known]
        known = {(file.path, file.blob): self._known.get((file.path, file.blob)) for file in chosen}
        gone = []
        for blob in read(missing) if missing else ():
            key = blob.file.path, blob.file.blob
            if blob.data is None:
                gone.append(key)
            else:
                known[key] = read_project(blob.file.path, blob.data)
        self._known = {key: project for key, project in known.items() if key not in gone}
        found = [project for project in known.values() if project]
        return tuple(sorted(found, key=lambda each: (each.folder, each.kind, each.name, sorted(each.aliases.items()))))


def project_kind(path: str) -> str:
    """The kind of project file that a path names, or an empty string."""
    name = posixpath.basename(path)
    return "tsconfig.json" if _TSCONFIG.match(name) else name if name in _READERS else ""


def read_project(path: str, data: bytes) -> Project | None:
    """What a project file says; None if that is nothing."""
    kind = project_kind(path)
    try:
        name, aliases = _READERS[kind](data.decode("utf-8"))
    except (ValueError, RecursionError, AttributeError, TypeError):  # not UTF-8, JSON or TOML, or of another shape
        return None
    kept = {key: places[:_MOST_PLACES] for key, places in list(aliases.items())[:_MOST_ALIASES]}
    return Project(kind, posixpath.dirname(path), name, kept) if name or kept else None


def _go(text: str) -> _Facts:
    found = _GO_MODULE.search(text)
    return found.group(1) if found else "", {}


def _tsconfig(text: str) -> _Facts:
    options = _json(text).get("compilerOptions", {})
    base = options.get("baseUrl")
    aliases = {
        alias: tuple(posixpath.join(base or "", place) for place in places if isinstance(place, str))
        for alias, places in options.get("paths", {}).items()
    }
    return "", aliases | ({"*": (posixpath.join(base, "*"),)} if base and "*" not in aliases else {})


def _package(text: str) -> _Facts:
    """`aliases`: entries by name (`.` is the package itself), each with the files it may mean."""
    package = _json(text)
    main = tuple(value for key in ("source", "types", "module", "main") if isinstance(value := package.get(key), str))
    aliases: dict[str, tuple[str, ...]] = {".": main} if main else {}
    exports = package.get("exports", {})
    entries = exports if isinstance(exports, dict) and all(key.startswith(".") for key in exports) else {".": exports}
    for key, value in (*entries.items(), *package.get("imports", {}).items()):
        if places := tuple(dict.fromkeys((*_leaves(value), *aliases.get(key, ())))):
            aliases[key] = places
    return _text(package.get("name")), aliases


def _cargo(text: str) -> _Facts:
    manifest = tomllib.loads(text)
    library = manifest.get("lib", {})
    path = library.get("path")
    return _text(library.get("name") or manifest.get("package", {}).get("name")), {"lib": (path,)} if path else {}


def _composer(text: str) -> _Facts:
    composer = _json(text)
    aliases: dict[str, tuple[str, ...]] = {}
    for section in ("autoload", "autoload-dev"):
        for prefix, folders in composer.get(section, {}).get("psr-4", {}).items():
            places = [folders] if isinstance(folders, str) else folders
            aliases[prefix] = (*aliases.get(prefix, ()), *(each for each in places if isinstance(each, str)))
    return _text(composer.get("name")), aliases


_READERS: Mapping[str, Callable[[str], _Facts]] = {
    "go.mod": _go,
    "tsconfig.json": _tsconfig,
    "package.json": _package,
    "Cargo.toml": _cargo,
    "composer.json": _composer,
}


def _json(text: str) -> dict[str, Any]:
    """JSON, with the comments and trailing commas that tsconfig.json may have."""
    try:
        value = json.loads(text)
    except ValueError:
        value = json.loads(_TRAILING.sub(r"\1", _COMMENTS.sub(r"\1", text)))
    return value if isinstance(value, dict) else {}


def _leaves(value: object) -> Iterator[str]:
    """The files that an entry names under any condition, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
