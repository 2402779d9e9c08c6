"""What is asked: real questions and places in real code, drawn with a seed."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

from nearcode.domain.languages import language_of
from nearcode.domain.retrieval import CodeCursor

_SENTENCE = re.compile(r'^\s*(?:"""|//[/!]?|#|/?\*+)\s*([A-Z][^@<>{}=]{18,110}?)[.]?\s*(?:"""|\*/)?$')
_LARGEST = 60_000
_LEAST_LINES = 20


def sources(folder: Path) -> list[Path]:
    """Files of code below a folder, sorted, none hidden, generated or huge."""
    found = (path for path in folder.rglob("*") if path.is_file() and language_of(path.name))
    kept = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in kept if path.stat().st_size <= _LARGEST and not path.name.endswith("_pb2.py"))


def questions(folder: Path, count: int, seed: int) -> list[str]:
    """Sentences from docstrings and comments: questions that the code itself answers. Raises ValueError when there are none."""
    found = sorted({sentence for path in sources(folder) for sentence in _sentences(path)})
    if not found:
        raise ValueError(f"no docstring or comment below {folder} makes a question: give another --repo")
    return random.Random(seed).choices(found, k=count)


def _sentences(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8", "replace").splitlines():
        if (match := _SENTENCE.match(line)) and match[1].count(" ") >= 3:
            yield match[1]


def places(folder: Path, count: int, seed: int) -> list[CodeCursor]:
    """Cursors in the middle of lines of code. Raises ValueError when there is no file of some length."""
    chance = random.Random(seed)
    texts = {path: path.read_text("utf-8", "replace") for path in sources(folder)}
    long = sorted(path for path, text in texts.items() if text.count("\n") > _LEAST_LINES)
    if not long:
        raise ValueError(f"no file of code below {folder} has {_LEAST_LINES} lines: give another --repo")
    cursors: list[CodeCursor] = []
    while len(cursors) < count:
        path = chance.choice(long)
        cursors.append(_cut(str(path.relative_to(folder)), texts[path].splitlines(keepends=True), chance))
    return cursors


def _cut(path: str, lines: list[str], chance: random.Random) -> CodeCursor:
    number = chance.randrange(len(lines) // 4, len(lines))
    line = lines[number]
    indent = len(line) - len(line.lstrip())
    at = indent + chance.randrange(max(1, len(line.strip())))
    return CodeCursor(path, "".join(lines[:number]) + line[:at], line[at:] + "".join(lines[number + 1 :]))
