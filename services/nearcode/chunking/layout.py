"""Lays chunks along the definitions of a source; works on lines alone."""

from dataclasses import dataclass

from nearcode.chunking.definition import Definition, Span, Structure
from nearcode.chunking.lines import Lines, Run, split
from nearcode.chunking.merging import Piece, merge
from nearcode.chunking.shapes import DEFINITIONS, Shape

_FEW_COMMENTS = 5
"""Lines. Comments between definitions, without code, are worth a chunk only when there are more."""

_DECORATORS = 5
"""Lines. Longer decorators are left out of a class's outline."""

_COMMENTS = (b"//", b"/*", b"#")
_BRACKETS = b" \t\r\n{}()[];,"


@dataclass(slots=True)
class _Region:
    """Lines to be shared out among `children` and what lies between them; `owner` is the class or function around them."""

    run: Run
    children: list[Definition]
    scopes: tuple[Span, ...]
    owner: Definition | None = None


def lay_out(structure: Structure, shape: Shape = DEFINITIONS) -> list[Piece]:
    """The chunks of a source, in order of their first line, an enclosing one before those inside."""
    pieces: list[Piece] = []
    lines = structure.lines
    if not lines.count():
        return pieces
    work = [_Region((0, lines.count() - 1), structure.roots, ())]
    while work:
        region = work.pop()
        own: list[Piece] = []
        for child in region.children:
            _lay_child(child, region.scopes, lines, own, work, shape)
        gaps = _gaps(region, structure)
        if region.owner and region.owner.is_class():
            gaps = _lay_class(region, region.owner, gaps, lines, pieces, shape)
        outer = region.owner if region.owner and region.owner.kind == "function" else None
        for gap in gaps:
            for run in split(lines, gap, shape.piece):
                own.append(Piece(_kind(outer), run, _outer_scopes(region, outer), outer))
        walls = [child.first for child in region.children if child.children or child.kind == "namespace"]
        pieces += merge(own, walls, shape)
    pieces.sort(key=lambda piece: (piece.run[0], -piece.run[1]))
    return pieces


def _kind(definition: Definition | None) -> str:
    if definition is None:
        return "block"
    if definition.kind == "function":
        return "method" if definition.member else "function"
    return "section" if definition.kind == "section" else "class"


def _outer_scopes(region: _Region, owner: Definition | None) -> tuple[Span, ...]:
    """The scopes around a region's owner when the piece is part of the owner itself, else those inside of it."""
    return region.scopes[: owner.outer] if owner else region.scopes


def _lay_child(
    child: Definition, scopes: tuple[Span, ...], lines: Lines, pieces: list[Piece], work: list[_Region], shape: Shape
) -> None:
    """Adds a definition without parts as chunks, or its parts to the work."""
    if child.kind == "function" and child.scope:
        scopes = (*scopes, child.scope)
    child.outer = len(scopes)
    name = child.scope_name()
    inside = (*scopes, name) if name else scopes
    if child.kind == "namespace":
        work.append(_Region((min(child.head_last + 1, child.last), child.last), child.children, inside))
    elif child.children:
        work.append(_Region((child.first, child.last), child.children, inside, child))
    else:
        run = (child.first, child.last)
        whole = child.last - child.first < shape.longest and len(split(lines, run, shape.longest)) == 1
        for part in [run] if whole else split(lines, run, shape.piece):
            pieces.append(Piece(_kind(child), part, scopes, child))


def _gaps(region: _Region, structure: Structure) -> list[Run]:
    """What lies between the children of a region and is worth keeping."""
    gaps: list[Run] = []
    at = region.run[0]
    heads: set[int] = set()
    for child in region.children:
        start = child.head_last + 1 if child.kind == "namespace" else child.first
        if child.kind == "namespace":
            heads.update(range(child.first, start))
        gaps.append((at, start - 1))
        at = max(at, child.last + 1)
    gaps.append((at, region.run[1]))
    trimmed = [run for gap in gaps if (run := structure.lines.trim(gap))]
    return [run for run in trimmed if not _trivial(run, heads, structure)]


def _trivial(run: Run, heads: set[int], structure: Structure) -> bool:
    """Nothing but brackets, heads of namespaces and a few comments."""
    comments = 0
    for line in range(run[0], run[1] + 1):
        if structure.comments[line]:
            comments += 1
        elif line not in heads:
            text = structure.lines.text(line)
            rest = text.strip(_BRACKETS)
            closes = rest == b"end" or (rest.startswith(_COMMENTS) and text.lstrip()[:1] in b"})]")
            if rest and not closes:
                return False
    return comments <= _FEW_COMMENTS


def _lay_class(
    region: _Region, owner: Definition, gaps: list[Run], lines: Lines, pieces: list[Piece], shape: Shape
) -> list[Run]:
    """Adds the outline of a class: its own lines and the heads of its members. Returns the lines that found no room."""
    heads = [_head(child) for child in region.children if child.kind != "namespace"]
    runs: list[Run] = []
    left: list[Run] = []
    room = shape.outline
    for run, own in sorted([(gap, True) for gap in gaps] + [(head, False) for head in heads]):
        length = run[1] - run[0] + 1
        if length <= room:
            runs.append(run)
            room -= length
        elif not runs:
            runs.append((run[0], run[0] + room - 1))
            left.append((run[0] + room, run[1]))
            room = 0
        elif own:
            left.append(run)
    pieces.append(Piece(_kind(owner), region.run, region.scopes[: owner.outer], owner, _join(runs)))
    return left


def _head(definition: Definition) -> Run:
    head = definition.head_first
    return (definition.lead if head - definition.lead <= _DECORATORS else head, definition.head_last)


def _join(runs: list[Run]) -> tuple[Run, ...]:
    """Joins runs that touch or overlap."""
    joined: list[Run] = []
    for run in runs:
        if joined and run[0] <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], run[1]))
        else:
            joined.append(run)
    return tuple(joined)
