"""Outlines that need no parser: files left out, and files cut by line windows."""

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.repositories.v1 import repositories_pb2 as repositories
from nearcode.chunking.assembly import add_chunk
from nearcode.chunking.content import why_skipped
from nearcode.chunking.declarations import declared_names
from nearcode.chunking.definition import Structure
from nearcode.chunking.lines import Lines, windows
from nearcode.chunking.merging import Piece
from nearcode.domain.languages import Language, language_of

WINDOW_LINES = 40
"""Lines of a window: about 400 tokens, the length of a middling function with its comment."""

WINDOW_OVERLAP = 8
"""Lines two windows share, so that a definition's head is seen with some of its body on one side of every cut."""


def unparsed(path: str, source: bytes) -> FileOutline | None:
    """The outline of a file that needs no parser; None when it needs one."""
    language = language_of(path, source[:200], asked=True)
    if language is None:
        return _skipped("not a kind of file that is indexed")
    if reason := why_skipped(source):
        return _skipped(reason, language)
    if not source.strip():
        return FileOutline(language=language.name, state=repositories.FILE_STATE_INDEXED, reason="empty")
    return None if language.grammar else by_lines(language, source)


def cut_by_lines(path: str, source: bytes, reason: str) -> FileOutline:
    """The outline of a file whose parser gave up, for the reason given."""
    language = language_of(path, source[:200], asked=True)
    if language is None or why_skipped(source):
        return unparsed(path, source) or _skipped(reason, language)
    return by_lines(language, source, reason)


def by_lines(language: Language, source: bytes, reason: str = "") -> FileOutline:
    """The outline of a file as overlapping windows; `reason` says why it was not cut along its definitions."""
    result = FileOutline(language=language.name, state=repositories.FILE_STATE_INDEXED, reason=reason)
    lines = Lines(source)
    names = declared_names(language, source)
    found = Structure(lines, [], bytearray(), names, [], [])
    heads = [lines.at(start) for start, _ in names]
    for run in windows(lines, WINDOW_LINES, WINDOW_OVERLAP, heads):
        add_chunk(result, Piece("lines", run, ()), found)
    return result


def failed(reason: str) -> FileOutline:
    """The outline of a file that should be indexed and is not."""
    return FileOutline(state=repositories.FILE_STATE_FAILED, reason=reason)


def _skipped(reason: str, language: Language | None = None) -> FileOutline:
    name = language.name if language else ""
    return FileOutline(language=name, state=repositories.FILE_STATE_SKIPPED, reason=reason)
