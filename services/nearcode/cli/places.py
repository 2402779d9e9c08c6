"""Places in files: `FILE:LINE:COLUMN` as people and compilers write it, 1-based, columns in code points."""

import os
from dataclasses import dataclass
from pathlib import Path

from nearcode.domain.errors import InvalidRequest, NotFound, Reason

WINDOW = 400_000
"""Code points kept on either side of the cursor: far more than any model reads, far less than a request may hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor before column `column` of line `line`, both from 1."""

    file: Path
    line: int
    column: int


def parse_place(text: str) -> Place:
    """Reads `FILE:LINE:COLUMN`; the file's name may hold colons. Raises InvalidRequest."""
    parts = text.rsplit(":", 2)
    numbers = [int(part) for part in parts[1:] if part.isascii() and part.isdigit() and len(part) < 10]
    if len(parts) != 3 or len(numbers) != 2 or not parts[0]:
        raise InvalidRequest(f"{text!r} is not a place; write FILE:LINE:COLUMN, for example src/main.py:12:5")
    if min(numbers) < 1:
        raise InvalidRequest(f"{text!r}: lines and columns count from 1")
    return Place(Path(parts[0]), *numbers)


def read_source(file: Path) -> str:
    """A source file as text, line ends kept. Raises NotFound and InvalidRequest."""
    try:
        return file.read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise NotFound(f"no such file: {file}", Reason.FILE_NOT_FOUND) from None
    except OSError as error:
        raise InvalidRequest(f"cannot read {file}: {error.strerror}") from error


def split_at(source: str, line: int, column: int, name: str = "the file") -> tuple[str, str]:
    """The code before and after a place. Raises InvalidRequest if there is no such line or column.

    Lines end at a line feed; the carriage return before it is not a column. The place after the last character of a line
    is allowed, and so is the empty line after a final line feed.
    """
    lines = source.split("\n")
    if line > len(lines):
        raise InvalidRequest(f"{name} has {len(lines)} lines; there is no line {line}")
    width = len(lines[line - 1].removesuffix("\r"))
    if column > width + 1:
        raise InvalidRequest(f"line {line} of {name} has columns 1 to {width + 1}; there is no column {column}")
    offset = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
    return source[max(0, offset - WINDOW) : offset], source[offset : offset + WINDOW]


def clickable(path: Path, line: int) -> str:
    """`path:line`, relative to the working directory if it lies below it."""
    here = Path.cwd()
    shown = os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
    return f"{shown}:{line}"
