"""Pieces to chunks of an outline: names inside their text, spans as flat lists."""

from bisect import bisect_left
from collections.abc import Iterable

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.chunking.definition import Span, Structure
from nearcode.chunking.lines import MOST_BYTES, Lines, Run
from nearcode.chunking.merging import Piece

MOST_NAMES = 64
"""References, definitions and imports kept of one chunk or file: what a payload index takes without growing past its text."""

_LONGEST_NAME = 200
"""Bytes. Longer names are made by machines."""
LONGEST_IMPORT = 2000
"""Bytes. An import may be a list: of `use` declarations in 1,500 Rust files of public packages one of 115 has more than 200."""


def add_chunk(result: FileOutline, piece: Piece, found: Structure) -> None:
    lines, source = found.lines, found.lines.source
    start, end = lines.span(piece.run)
    text = _text(piece, lines, start, end)
    shown = text or [(start, end)]
    definition = piece.definition
    own = definition.names if definition and definition.kind != "extension" else piece.names
    names = [name for name in own if start <= name[0] < end]
    definitions = distinct([*names, *_inside(found.defined, shown)], source)
    taken = {source[first:last] for first, last in definitions}
    references = distinct(_inside(found.references, shown), source, taken)
    result.chunks.add(
        ordinal=len(result.chunks),
        kind=piece.kind,
        start_byte=start,
        end_byte=end,
        start_line=piece.run[0] + 1,
        end_line=piece.run[1] + 1,
        scopes=flat(piece.scopes),
        signature=definition.signature if definition else (),
        docstring=definition.docstring or () if definition else (),
        definitions=flat(definitions),
        references=flat(references),
        text=flat(text),
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


def distinct(spans: Iterable[Span], source: bytes, taken: Iterable[bytes] = (), longest: int = _LONGEST_NAME) -> list[Span]:
    """The first MOST_NAMES spans with distinct texts of at most `longest` bytes, none of them in `taken`."""
    seen: dict[bytes, Span | None] = dict.fromkeys(taken)
    for start, end in spans:
        if end - start <= longest:
            seen.setdefault(source[start:end], (start, end))
    return [span for span in seen.values() if span][:MOST_NAMES]


def flat(spans: Iterable[Span]) -> list[int]:
    return [offset for span in spans for offset in span]
