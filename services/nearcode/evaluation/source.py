"""The files that questions are made from, with what their outlines tell of definitions and of the names used."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from nearcode.api.chunking.v1.chunking_pb2 import ChunkOutline, FileOutline
from nearcode.domain.languages import LANGUAGES
from nearcode.domain.repository import blob_id

Outline = Callable[[str, bytes], FileOutline]
"""Path and bytes of a file to its outline."""

_ASIDE = re.compile(
    r"(^|/)(tests?|testing|testdata|specs?|__tests__|__mocks__|mocks?|fixtures?|e2e|examples?|samples?|demos?|bench(marks?)?"
    r"|docs?|vendor|_?vendored|third[_-]?party|node_modules|external|dist|build|generated|migrations|locales?)/"
    r"|(^|/)(test_[^/]*|conftest\.py|setup\.py|[^/]*[_.-](tests?|spec)\.\w+|[^/]*(Tests?|Spec)\.\w+)$"
    r"|\.(md|mdx|markdown|rst|adoc|txt|lock|json|ya?ml|toml|cfg|ini)$|(_pb2(_grpc)?\.pyi?|\.pb\.\w+|[._]gen(erated)?\.\w+|\.d\.ts)$"
)
"""Tests, examples, generated and other people's code: nobody asks for them, and questions are not made from them."""

_FUNCTIONS, _CLASSES = frozenset({"function", "method"}), frozenset({"class"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a repository with its outline."""

    path: str
    data: bytes
    outline: FileOutline
    blob: str

    @property
    def parsed(self) -> bool:
        """Whether it was cut along its definitions."""
        known = LANGUAGES.get(self.outline.language)
        return bool(known and known.grammar and not self.outline.reason)


@dataclass(frozen=True, slots=True)
class Definition:
    """A class or function of a file: bytes of its name, head and documentation, its lines without that documentation."""

    file: SourceFile
    chunk: ChunkOutline
    name: str
    name_start: int
    start_line: int
    end_line: int

    @property
    def is_function(self) -> bool:
        """Whether it can be completed; else it is a class or the like."""
        return self.chunk.kind in _FUNCTIONS

    @property
    def docstring(self) -> tuple[int, int] | None:
        """Bytes of its documentation."""
        span = self.chunk.docstring
        return (span[0], span[1]) if span else None


def outlined(files: Mapping[str, bytes], outline: Outline) -> Iterator[SourceFile]:
    """Files with their outlines, in order of path."""
    for path in sorted(files):
        yield SourceFile(path, files[path], outline(path, files[path]), blob_id(files[path]))


def line_at(data: bytes, offset: int) -> int:
    """The line, from 1, that holds the byte at `offset`."""
    return data.count(b"\n", 0, offset) + 1


def definitions(file: SourceFile) -> list[Definition]:
    """The classes and functions of a file that have chunks of their own; a long one has several, and is one here."""
    found: dict[int, list[ChunkOutline]] = {}
    for chunk in file.outline.chunks:
        if chunk.kind in _FUNCTIONS | _CLASSES and _names_itself(chunk):
            found.setdefault(chunk.signature[0], []).append(chunk)
    return [_definition(file, chunks) for chunks in found.values()]


def _names_itself(chunk: ChunkOutline) -> bool:
    """Whether the first name that is defined stands in the head: a part of a class elsewhere has no name of its own."""
    head, names = chunk.signature, chunk.definitions
    return bool(head and names and head[0] <= names[0] < max(head[1], head[0] + 1))


def _definition(file: SourceFile, chunks: list[ChunkOutline]) -> Definition:
    first = chunks[0]
    start, end = first.definitions[0], first.definitions[1]
    name = file.data[start:end].decode("utf-8", "replace")
    head = line_at(file.data, first.signature[0])
    documented_above = first.docstring and first.docstring[0] < first.signature[0]
    first_line = head if documented_above else min(first.start_line, head)
    return Definition(file, first, name, start, first_line, max(chunk.end_line for chunk in chunks))


def text(data: bytes, start: int, end: int) -> str:
    """Bytes as text."""
    return data[start:end].decode("utf-8", "replace")


def is_asked_for(path: str) -> bool:
    """Whether a file is of the kind that people ask for."""
    return not _ASIDE.search(path)


def questionable(files: Iterable[SourceFile]) -> list[SourceFile]:
    """The files that questions are made from."""
    return [file for file in files if file.parsed and is_asked_for(file.path)]
