"""The lines of a source, 0-based, and where to cut a run of them that is too long for one chunk."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

Run = tuple[int, int]
"""First and last line, both included."""

MOST_BYTES = 16_384
"""Bytes of one chunk at most: what the longest-reading embedding models take in (about 4,000 tokens)."""

_NEWLINE = re.compile(rb"\n")
_COMMENT = re.compile(rb"\s*(?://|/?\*|#|--|;;|@|\{-|\(\*|///)")
_CLOSER = re.compile(rb"\s*(?:[)\]}>;,]|end\b|else\b|elif\b|except\b|catch\b|finally\b)")


@dataclass(slots=True)
class Lines:
    """Where each line of `source` starts; a last line without newline counts, an empty one after it does not."""

    source: bytes
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [0, *(match.end() for match in _NEWLINE.finditer(self.source))]
        if self.starts[-1] != len(self.source):
            self.starts.append(len(self.source))

    def count(self) -> int:
        return len(self.starts) - 1

    def at(self, offset: int) -> int:
        """The line that holds the byte at `offset`."""
        return bisect_right(self.starts, offset) - 1

    def text(self, line: int) -> bytes:
        """A line with its newline."""
        return self.source[self.starts[line] : self.starts[line + 1]]

    def blank(self, line: int) -> bool:
        return not self.text(line).strip()

    def span(self, run: Run) -> tuple[int, int]:
        """The bytes of a run of lines, without its last line break."""
        start, end = self.starts[run[0]], self.starts[run[1] + 1]
        if self.source.endswith(b"\n", start, end):
            end -= 1
        if self.source.endswith(b"\r", start, end):
            end -= 1
        return start, end

    def trim(self, run: Run) -> Run | None:
        """A run without blank lines at its ends; None if all are blank."""
        first, last = run
        while first <= last and self.blank(first):
            first += 1
        while last > first and self.blank(last):
            last -= 1
        return (first, last) if first <= last else None


def split(lines: Lines, run: Run, limit: int) -> list[Run]:
    """Cuts a run into parts of about equal length, at most `limit` lines and MOST_BYTES each (a longer line stays whole).

    Cuts fall where the indentation is smallest, rather after a blank line, never before a closing bracket.
    """
    first, last = run
    parts: list[Run] = []
    while first <= last:
        left = last - first + 1
        room = min(limit, bisect_right(lines.starts, lines.starts[first] + MOST_BYTES) - 1 - first)
        if left <= max(1, room):
            parts.append((first, last))
            break
        target = -(-left // -(-left // limit))
        after = _cut(lines, first, max(1, min(room, target * 5 // 4)))
        parts.append((first, after - 1))
        first = after
    return [trimmed for part in parts if (trimmed := lines.trim(part))]


def _cut(lines: Lines, first: int, longest: int) -> int:
    """The line before which to cut: at least half of `longest` lines after `first`."""
    best, best_key = first + longest, (1 << 30, 1, 0)
    for line in range(first + max(1, longest // 2), first + longest + 1):
        text = lines.text(line)
        body = text.lstrip()
        if not body or _CLOSER.match(text):
            continue
        key = (len(text) - len(body), 0 if lines.blank(line - 1) else 1, -line)
        if key < best_key:
            best, best_key = line, key
    return best


def windows(lines: Lines, length: int, overlap: int, heads: Sequence[int] = ()) -> list[Run]:
    """Runs of at most `length` lines and MOST_BYTES. A run rather ends early, where one of `heads` begins (sorted lines
    with definitions); if none is near, the next one repeats its last `overlap` lines."""
    runs: list[Run] = []
    first, total = 0, lines.count()
    while first < total:
        room = max(1, bisect_right(lines.starts, lines.starts[first] + MOST_BYTES) - 1 - first)
        after = following = min(total, first + min(length, room))
        if after < total:
            head = _head_before(lines, heads, first + (after - first) // 2, after)
            following = after = head or after
            if not head and after - first == length:
                following = after - overlap
        if trimmed := lines.trim((first, after - 1)):
            runs.append(trimmed)
        first = following
    return runs


def _head_before(lines: Lines, heads: Sequence[int], after: int, last: int) -> int | None:
    """The line in after+1..last where the least indented definition begins, with the comments directly above it."""
    found = heads[bisect_right(heads, after) : bisect_right(heads, last)]
    if not found:
        return None
    line = min(found, key=lambda head: (_indentation(lines.text(head)), -head))
    while line - 1 > after and _COMMENT.match(lines.text(line - 1)):
        line -= 1
    return line


def _indentation(text: bytes) -> int:
    return len(text) - len(text.lstrip())
