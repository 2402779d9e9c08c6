"""What a grammar's queries find in a source: its definitions as a tree, comment lines, names, imports."""

import re
from collections.abc import Iterable
from itertools import accumulate

from tree_sitter import Node, QueryCursor

from nearcode.chunking.definition import WHOLE, Definition, Span, Structure
from nearcode.chunking.grammars import Grammar
from nearcode.chunking.lines import Lines

MOST_NODES = 1_500_000
"""Syntax nodes at most: 15 times those of a 1 MB source written by people."""

MOST_NESTING = 1_000
"""Brackets open at once: generated tables reach a hundred. Queries take time that grows with the square of the depth."""

_DEEPEST = 12
"""Definitions nested deeper than this stay inside their parents; people seldom go beyond five."""

_KINDS = ("class", "extension", "function", "section", "namespace")
_COMMENT, _LEAD = 1, 2


_HEAD_END = re.compile(rb"(?:\s|=>|[{=\\])+\Z")
_STEPS = {byte: 1 if byte in b"([{" else -1 for byte in b"()[]{}"}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)


class TooComplex(Exception):
    """Nobody wrote this; the text says what is too much."""


def structure(grammar: Grammar, source: bytes) -> Structure:
    """Parses a source. Takes unbounded time on hostile input: for use in a process that may be killed. Raises TooComplex."""
    if _nesting(source) > MOST_NESTING:
        raise TooComplex("brackets nested too deeply to parse")
    root = grammar.parser.parse(source).root_node
    if root.descendant_count > MOST_NODES:
        raise TooComplex("more syntax than a person writes")
    lines = Lines(source)
    captures = QueryCursor(grammar.names).captures(root)
    found = _definitions(QueryCursor(grammar.definitions).matches(root))
    if grammar.clauses:
        found = _join_clauses(found, source)
    comments = _comment_lines(lines, captures)
    docstrings = dict(_spans(captures, "docstring"))
    _wrap(found, _spans(captures, "wrapper"), source)
    for definition in found:
        _locate(definition, lines, docstrings)
    roots, swallowed = _nest(found)
    _attach_comments(roots, lines, comments)
    return Structure(
        lines,
        roots,
        comments,
        defined=sorted({*_spans(captures, "defined"), *swallowed}),
        references=_references(captures, source),
        imports=_imports(captures, source),
    )


def _nesting(source: bytes) -> int:
    """The most brackets open at once, those in strings and comments included."""
    return max(accumulate(map(_STEPS.__getitem__, source.translate(None, _NO_BRACKETS))), default=0)


def _spans(captures: dict[str, list[Node]], name: str) -> list[Span]:
    return [node.byte_range for node in captures.get(name, ())]


def _references(captures: dict[str, list[Node]], source: bytes) -> list[Span]:
    spans = set(_spans(captures, "reference"))
    spans.update(span for span in _spans(captures, "value") if 65 <= source[span[0]] <= 90)  # A to Z
    return sorted(spans)


def _imports(captures: dict[str, list[Node]], source: bytes) -> list[Span]:
    """What is imported; some grammars name only the statement as a whole."""
    keyword = b"import "
    return sorted(
        (start + len(keyword) if source.startswith(keyword, start, end) else start, end)
        for start, end in _spans(captures, "import")
    )


def _definitions(matches: Iterable[tuple[int, dict[str, list[Node]]]]) -> list[Definition]:
    """One definition per node, in order of start, outer before inner."""
    found: dict[tuple[str, int, int], Definition] = {}
    for _, captures in matches:
        kind = next(kind for kind in _KINDS if kind in captures)
        start, end = captures[kind][0].byte_range
        definition = found.setdefault((kind, start, end), Definition(kind, start, end))
        for name in _spans(captures, "name"):
            if name not in definition.names:
                definition.names.append(name)
        if scope := _spans(captures, "scope"):
            definition.scope = scope[0]
        if body := _spans(captures, "body"):
            definition.body = body[0][0]
        if doc := _spans(captures, "doc"):
            definition.docstring = doc[0]
    return sorted(found.values(), key=lambda definition: (definition.start, -definition.end))


def _join_clauses(found: list[Definition], source: bytes) -> list[Definition]:
    """Lets functions of one name with nothing between them be one: signature and equations, clauses."""
    joined: list[Definition] = []
    previous: dict[bytes, Definition] = {}
    for definition in found:
        name = source[slice(*definition.names[0])] if definition.kind == "function" and definition.names else b""
        before = previous.get(name) if name else None
        if before and before.end <= definition.start and not source[before.end : definition.start].strip():
            before.end = definition.end
            continue
        if name:
            previous[name] = definition
        joined.append(definition)
    return joined


def _wrap(found: list[Definition], wrappers: list[Span], source: bytes) -> None:
    """Lets a definition begin with the wrapper that ends with it. Both lists in order of start, outer first."""
    waiting: list[Span] = []
    ordered = iter(sorted(wrappers, key=lambda span: (span[0], -span[1])))
    upcoming = next(ordered, None)
    for definition in found:
        definition.lead = definition.start
        while upcoming and upcoming[0] <= definition.start:
            waiting.append(upcoming)
            upcoming = next(ordered, None)
        for start, end in waiting:
            if end >= definition.end and not source[definition.end : min(end, definition.end + 9)].strip(b"; \t\r\n"):
                definition.lead = min(definition.lead, start)
        waiting.clear()


def _locate(definition: Definition, lines: Lines, docstrings: dict[int, int]) -> None:
    source, body = lines.source, definition.body
    definition.first = lines.at(definition.lead)
    definition.lead = definition.first
    definition.last = lines.at(max(definition.start, definition.end - 1))
    if body is not None and body in docstrings:
        definition.docstring = (body, docstrings[body])
    definition.head_first = lines.at(definition.start)
    head_end = body if body is not None else lines.starts[definition.head_first + 1]
    head = _HEAD_END.sub(b"", source[definition.start : min(head_end, definition.end)])
    definition.signature = (definition.start, definition.start + len(head))
    definition.head_last = lines.at(max(definition.start, definition.signature[1] - 1))


def _nest(found: list[Definition]) -> tuple[list[Definition], list[Span]]:
    """The tree of definitions that become chunks, and the names of those that stay inside another one's chunk."""
    roots: list[Definition] = []
    swallowed: list[Span] = []
    stack: list[Definition] = []
    for definition in found:
        while stack and stack[-1].end < definition.end:
            stack.pop()
        parent = stack[-1] if stack else None
        if _stays_inside(definition, parent):
            swallowed.extend(definition.names)
            continue
        definition.depth = parent.depth + 1 if parent else 0
        definition.member = definition.scope is not None or (parent is not None and parent.holds_methods())
        (parent.children if parent else roots).append(definition)
        stack.append(definition)
    return roots, swallowed


def _stays_inside(definition: Definition, parent: Definition | None) -> bool:
    if definition.first == definition.last:
        return True  # a definition of one line needs no chunk of its own
    if parent is None:
        return False
    if parent.last - parent.first < WHOLE.get(parent.kind, 0):
        return True
    same_head = definition.kind == "class" == parent.kind and definition.first == parent.first  # typedef struct {
    return same_head or parent.depth >= _DEEPEST


def _comment_lines(lines: Lines, captures: dict[str, list[Node]]) -> bytearray:
    """Marks the lines that hold nothing but a comment, or an attribute of the definition below."""
    marks = bytearray(lines.count() + 1)
    source, starts = lines.source, lines.starts
    for name, mark in (("comment", _COMMENT), ("lead", _LEAD)):
        for start, end in _spans(captures, name):
            first = lines.at(start)
            if source[starts[first] : start].strip():
                continue
            last = lines.at(max(start, end - 1))
            if source[end : starts[last + 1]].strip():
                continue
            for line in range(first, last + 1):
                marks[line] = mark
    return marks


def _attach_comments(roots: list[Definition], lines: Lines, comments: bytearray) -> None:
    """Lets every definition begin with the comment directly above it; where it has no docstring, that is its docstring."""
    work: list[tuple[list[Definition], int]] = [(roots, -1)]
    while work:
        siblings, floor = work.pop()
        for definition in siblings:
            line = definition.first
            while line - 1 > floor and comments[line - 1]:
                line -= 1
            if definition.docstring is None:
                definition.docstring = _doc_comment(lines, comments, line, definition.first)
            definition.first = line
            work.append((definition.children, definition.head_last))
            floor = max(floor, definition.last)


def _doc_comment(lines: Lines, comments: bytearray, first: int, after: int) -> Span | None:
    marked = [line for line in range(first, after) if comments[line] == _COMMENT]
    if not marked:
        return None
    start, end = lines.span((marked[0], marked[-1]))
    text = lines.source[start:end]
    return start + len(text) - len(text.lstrip()), end
