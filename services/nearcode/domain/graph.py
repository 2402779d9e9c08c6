"""What files say of each other: imports, names defined, and what project files tell of how imports are resolved.

Links are packed as text: a record a line, imports first, each marked and with the names that it brings after tabs. They travel
with what became of a batch's files, and rest in the revision's artifact; whoever asks the graph resolves them (retrieval).
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

_IMPORT, _PART, _END, _BETWEEN = "\x01", "\t", "\n", b"\0"
_LEVEL = 1
"""Of zlib: names shrink to a third, and a higher level wins a tenth more for twice the time."""
_MOST_BYTES = 4 << 20
"""Bytes of a batch's links when unpacked; sixty times what is ever packed."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the module, path or name as it is written, and the names that it takes from there, where they are known."""

    target: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Links:
    """What a file imports, in order, and the distinct names that it defines."""

    imports: tuple[Import, ...] = ()
    definitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """What a project file (go.mod, tsconfig.json, package.json, Cargo.toml, composer.json) says of the folder it lies in.

    `name` is the module, package or crate; `aliases` map the beginning of an import to paths, relative to `folder`.
    """

    kind: str
    folder: str
    name: str = ""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """All that a revision knows of its graph: links and distinct term ids (packed uint32, sorted in each part) by path."""

    links: Mapping[str, bytes]
    terms: Mapping[str, bytes]
    projects: tuple[Project, ...] = ()


def pack_links(links: Links, room: int) -> bytes:
    """In at most `room` bytes: imports go first, and whatever does not fit is left out. Names have no control characters."""
    records: dict[str, None] = {}
    for each in links.imports:
        parts = [" ".join(each.target.split()), *each.names]
        if parts[0] and all(part.isprintable() for part in parts):
            records[_IMPORT + _PART.join(parts)] = None
    records.update(dict.fromkeys(name for name in links.definitions if name.isprintable() and name))
    kept: list[bytes] = []
    for record in records:
        data = f"{record}{_END}".encode("utf-8", "replace")
        if len(data) <= room:
            room -= len(data)
            kept.append(data)
    return b"".join(kept)


def unpack_links(data: bytes) -> Links:
    """Of a file that came in several parts, too: what the parts repeat counts once."""
    records = dict.fromkeys(data.decode("utf-8", "replace").split(_END))
    records.pop("", None)
    imports = [record[1:].split(_PART) for record in records if record.startswith(_IMPORT)]
    return Links(
        tuple(Import(target, tuple(names)) for target, *names in imports),
        tuple(record for record in records if not record.startswith(_IMPORT)),
    )


def join_links(files: Iterable[bytes]) -> bytes:
    """The packed links of a batch's files, in one."""
    return zlib.compress(_BETWEEN.join(files), _LEVEL)


def split_links(data: bytes, files: int) -> Sequence[bytes]:
    """The packed links of each of so many files; empty ones where the batch brings none."""
    if not data or not files:
        return [b""] * files
    return zlib.decompressobj().decompress(data, _MOST_BYTES).split(_BETWEEN)
