"""Chunks to be, and which neighbors are too small to be chunks of their own."""

from bisect import bisect_left
from collections.abc import Sequence
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


def merge(pieces: Sequence[Piece], walls: Sequence[int], shape: Shape) -> list[Piece]:
    """Joins neighbors that are small, while they stay short together. `pieces` are of one region, none inside another; `walls`
    are lines, in order, where something begins that has pieces of its own."""
    if len(pieces) < 2:
        return list(pieces)
    groups: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.run):
        if groups and _belongs(piece, groups[-1], shape) and not _between(groups[-1][-1], walls, piece):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [group[0] if len(group) == 1 else _joined(group) for group in groups]


def _belongs(piece: Piece, group: Sequence[Piece], shape: Shape) -> bool:
    first, last = group[0], group[-1]
    if last.scopes != piece.scopes or last.run[1] >= piece.run[0]:
        return False
    together = piece.run[1] - first.run[0] + 1
    if "section" in (piece.kind, last.kind):
        small = min(last.run[1] - first.run[0] + 1, piece.length()) <= _SMALL_SECTION
        return small and together <= shape.piece and piece.kind == last.kind
    return piece.kind == last.kind and max(first.length(), piece.length()) <= shape.tiny and together <= shape.together


def _between(before: Piece, walls: Sequence[int], after: Piece) -> bool:
    return bisect_left(walls, before.run[1]) < bisect_left(walls, after.run[0])


def _joined(group: Sequence[Piece]) -> Piece:
    names = tuple(name for piece in group if piece.definition for name in piece.definition.names)
    run = group[0].run[0], group[-1].run[1]
    return Piece(group[0].kind, run, group[0].scopes, names=names)
