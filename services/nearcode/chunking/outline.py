"""A source file to its outline: where its chunks lie and what they hold. Pure; never raises, whatever the bytes."""

from bisect import bisect_left
from collections.abc import Iterable

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.repositories.v1 import repositories_pb2 as repositories
from nearcode.chunking.content import why_skipped
from nearcode.chunking.declarations import declared_names
from nearcode.chunking.grammars import grammar_for
from nearcode.chunking.layout import Piece, lay_out
from nearcode.chunking.lines import MOST_BYTES, Lines, Run, windows
from nearcode.chunking.structure import Span, Structure, TooComplex, structure
from nearcode.domain.languages import Language, language_of

MOST_NAMES = 64
"""References, definitions and imports kept of one chunk or file: what a payload index takes without growing past its text."""

_LONGEST_NAME = 200
"""Bytes. Longer names and import paths are made by machines."""

WINDOW_LINES = 40
"""Lines of a window: about 400 tokens, the length of a middling function with its comment."""

WINDOW_OVERLAP = 8
"""Lines two windows share, so that a definition's head is seen with some of its body on one side of every cut."""


def outline(path: str, source: bytes) -> FileOutline:
    """The outline of a file, without its `file`. For use in a process that may be killed: hostile input takes for ever."""
    language = language_of(path, source[:200])
    result = unparsed(language, source)
    if result is not None or language is None:
        return result or _skipped("not a kind of file that is indexed")
    try:
        found = structure(grammar_for(language.grammar, source), source)
    except TooComplex:
        return by_lines(language, source, "more syntax than a person writes")
    return _assemble(language, source, found)


def unparsed(language: Language | None, source: bytes) -> FileOutline | None:
    """The outline of a file that needs no parser; None when it needs one."""
    if language is None:
        return _skipped("not a kind of file that is indexed")
    if reason := why_skipped(source):
        return _skipped(reason, language)
    if not source.strip():
        return FileOutline(language=language.name, state=repositories.FILE_STATE_INDEXED, reason="empty")
    return None if language.grammar else by_lines(language, source)


def by_lines(language: Language, source: bytes, reason: str = "") -> FileOutline:
    """The outline of a file as overlapping windows; `reason` says why it was not cut along its definitions."""
    result = FileOutline(language=language.name, state=repositories.FILE_STATE_INDEXED, reason=reason)
    lines = Lines(source)
    found = Structure(lines, [], bytearray(), declared_names(language, source), [], [])
    for run in windows(lines, WINDOW_LINES, WINDOW_OVERLAP):
        _add(result, Piece("lines", run, ()), found)
    return result


def failed(reason: str) -> FileOutline:
    """The outline of a file that should be indexed and is not."""
    return FileOutline(state=repositories.FILE_STATE_FAILED, reason=reason)


def _skipped(reason: str, language: Language | None = None) -> FileOutline:
    name = language.name if language else ""
    return FileOutline(language=name, state=repositories.FILE_STATE_SKIPPED, reason=reason)


def _assemble(language: Language, source: bytes, found: Structure) -> FileOutline:
    result = FileOutline(language=language.name, state=repositories.FILE_STATE_INDEXED)
    result.imports.extend(_flat(_distinct(found.imports, source)))
    for piece in lay_out(found):
        _add(result, piece, found)
    return result


def _add(result: FileOutline, piece: Piece, found: Structure) -> None:
    lines, source = found.lines, found.lines.source
    start, end = lines.span(piece.run)
    text = _text(piece, lines, start, end)
    shown = text or [(start, end)]
    own = piece.definition.names if piece.definition and piece.definition.kind != "extension" else []
    names = [name for name in own if start <= name[0] < end]
    definitions = _distinct([*names, *_inside(found.defined, shown)], source)
    taken = {source[first:last] for first, last in definitions}
    references = _distinct(_inside(found.references, shown), source, taken)
    definition = piece.definition
    result.chunks.add(
        ordinal=len(result.chunks),
        kind=piece.kind,
        start_byte=start,
        end_byte=end,
        start_line=piece.run[0] + 1,
        end_line=piece.run[1] + 1,
        scopes=_flat(piece.scopes),
        signature=definition.signature if definition else (),
        docstring=definition.docstring or () if definition else (),
        definitions=_flat(definitions),
        references=_flat(references),
        text=_flat(text),
    )


def _text(piece: Piece, lines: Lines, start: int, end: int) -> list[Span]:
    """The spans of a chunk's text, if it is not one run of lines or is too long."""
    whole: Run = piece.run
    if (not piece.runs or piece.runs == (whole,)) and end - start <= MOST_BYTES:
        return []
    spans: list[Span] = []
    room = MOST_BYTES
    for run in piece.runs or (whole,):
        first, last = lines.span(run)
        last = _character(lines.source, first, min(last, first + room))
        spans.append((first, last))
        room -= last - first
        if room <= 0:
            break
    return spans


def _character(source: bytes, start: int, end: int) -> int:
    """The last boundary of a UTF-8 character up to `end`."""
    while start < end < len(source) and source[end] & 0xC0 == 0x80:
        end -= 1
    return end


def _inside(spans: list[Span], intervals: Iterable[Span]) -> list[Span]:
    """Of sorted spans, those that begin inside one of the intervals."""
    found: list[Span] = []
    for start, end in intervals:
        found += spans[bisect_left(spans, (start,)) : bisect_left(spans, (end,))]
    return found


def _distinct(spans: Iterable[Span], source: bytes, taken: Iterable[bytes] = ()) -> list[Span]:
    """The first MOST_NAMES spans with distinct texts, none of them in `taken`."""
    seen: dict[bytes, Span | None] = dict.fromkeys(taken)
    for start, end in spans:
        if end - start <= _LONGEST_NAME:
            seen.setdefault(source[start:end], (start, end))
    return [span for span in seen.values() if span][:MOST_NAMES]


def _flat(spans: Iterable[Span]) -> list[int]:
    return [offset for span in spans for offset in span]
