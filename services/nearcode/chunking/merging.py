"""Chunks to be, and which neighbors are too small to be chunks of their own."""

from collections.abc import Iterable
from dataclasses import dataclass

from nearcode.chunking.definition import Definition, Span
from nearcode.chunking.lines import Run
from nearcode.chunking.shapes import Shape

_SMALL_SECTION = 10
"""Lines. Sections (rules of CSS, elements of HTML, headings of prose) up to this are merged with their neighbors."""


@dataclass(slots=True)
class Piece:
    """A chunk to be: its lines and what it is a part of. `runs` are the lines of its text when they are not all of them;
    `names` are those that merged pieces define."""

    kind: str
    run: Run
    scopes: tuple[Span, ...]
    definition: Definition | None = None
    runs: tuple[Run, ...] = ()
    names: tuple[Span, ...] = ()

    def length(self) -> int:
        """Lines."""
        return self.run[1] - self.run[0] + 1


def merge(pieces: Iterable[Piece], shape: Shape) -> list[Piece]:
    """Joins neighbors that are small, while they stay short together. `pieces` are of one region, none inside another."""
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece.run):
        before = merged[-1] if merged else None
        if before and _belong_together(before, piece, shape):
            names = (*_names(before), *_names(piece))
            merged[-1] = Piece(piece.kind, (before.run[0], piece.run[1]), piece.scopes, names=names)
        else:
            merged.append(piece)
    return merged


def _belong_together(before: Piece, piece: Piece, shape: Shape) -> bool:
    if before.kind != piece.kind or before.scopes != piece.scopes or before.run[1] >= piece.run[0]:
        return False
    together = piece.run[1] - before.run[0] + 1
    if piece.kind == "section":
        return together <= shape.piece and min(before.length(), piece.length()) <= _SMALL_SECTION
    return piece.kind != "block" and max(_least(before), _least(piece)) <= shape.tiny and together <= shape.together


def _least(piece: Piece) -> int:
    """Lines of a piece; 0 for one that was merged of small ones."""
    return piece.length() if piece.definition else 0


def _names(piece: Piece) -> tuple[Span, ...]:
    return tuple(piece.definition.names) if piece.definition else piece.names
