"""Cuts chunks out of a file's bytes where its outline says they lie. Whoever has outline and bytes gets the same chunks."""

import re
from collections.abc import Sequence

from nearcode.api.chunking.v1.chunking_pb2 import ChunkOutline, FileOutline
from nearcode.domain.chunk import Chunk

_LONGEST_SIGNATURE = 400
"""Characters of a signature in a header; longer ones are generated."""
_LONGEST_DOCSTRING = 240
"""Characters of a docstring in a header: its first sentence or two."""
_DOCSTRING_LINES = 3

_MARKERS = re.compile(
    r"^(?:/\*+|\*+/|\*|//[/!]?|#|--+(?:\s*[|^])?|<!--|@(?:type)?doc\s+(?:~[sS])?\"{1,3}|[rRbBuUfF]{0,2}\"{1,3}|'{1,3}|=begin|=end)"
    r"\s*|\s*(?:\*+/|\"{3}|'{3}|-->)$"
)


class _Bytes:
    """Text by byte offsets."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    def __getitem__(self, span: slice) -> str:
        return self._source[span].decode("utf-8", "replace")


_Cut = str | _Bytes


def cut(repository: str, outline: FileOutline, source: bytes) -> list[Chunk]:
    """The chunks of an outline, with text, header and names. Bytes that are not UTF-8 become replacement characters."""
    piece = _cutter(source)
    path, blob = outline.file.path, outline.file.blob
    language = outline.language
    imports = _texts(piece, outline.imports)
    chunks: list[Chunk] = []
    for part in outline.chunks:
        scopes = _texts(piece, part.scopes)
        chunks.append(
            Chunk(
                repository,
                path,
                blob,
                part.ordinal,
                language,
                part.kind,
                part.start_line,
                part.end_line,
                "\n".join(_texts(piece, part.text)) if part.text else piece[part.start_byte : part.end_byte],
                _header(path, scopes, part, piece),
                scopes,
                _texts(piece, part.definitions),
                _texts(piece, part.references),
                imports,
            )
        )
    return chunks


def _cutter(source: bytes) -> _Cut:
    """What to slice by byte offsets. Most sources are ASCII, where bytes and characters count the same."""
    return source.decode("ascii") if source.isascii() else _Bytes(source)


def _texts(piece: _Cut, spans: Sequence[int]) -> tuple[str, ...]:
    flat = iter(list(spans))
    return tuple([piece[start:end] for start, end in zip(flat, flat, strict=False)]) if spans else ()


def _header(path: str, scopes: tuple[str, ...], part: ChunkOutline, piece: _Cut) -> str:
    """What a reader needs above the text, a line each: path, enclosing scopes, signature, docstring."""
    rows = [path]
    if scopes:
        rows.append(" > ".join(scopes))
    if part.signature:
        start, end = part.signature
        rows.append(" ".join(piece[start : min(end, start + _LONGEST_SIGNATURE)].split()))
    if part.docstring:
        start, end = part.docstring
        rows.append(_summary(piece[start : min(end, start + 3 * _LONGEST_DOCSTRING)]))
    return "\n".join(row for row in rows if row)


def _summary(docstring: str) -> str:
    """The first lines of a docstring up to a blank one, without comment markers."""
    kept: list[str] = []
    for line in docstring.splitlines():
        words = _MARKERS.sub("", line.strip()).strip()
        if words:
            kept.append(words)
        elif kept:
            break
        if len(kept) == _DOCSTRING_LINES:
            break
    return " ".join(kept)[:_LONGEST_DOCSTRING]
