"""Ignore files: `.gitignore` syntax in `.gitignore`, `.ignore` and `.nearcodeignore`, each below the folder it lies in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".ignore", ".nearcodeignore")
"""Later ones override earlier ones in the same folder."""


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """One ignore file: the folder it lies in (empty for the root), its name and its lines."""

    folder: str
    name: str
    lines: tuple[str, ...]
    spec: GitIgnoreSpec

    @classmethod
    def parse(cls, folder: str, name: str, text: str) -> "IgnoreFile":
        lines = tuple(text.splitlines())
        return cls(folder, name, lines, _spec(lines))


class IgnoreRules:
    """The ignore files of a tree, asked from the deepest folder up: the nearest rule that matches decides."""

    def __init__(self) -> None:
        self._files: dict[str, list[IgnoreFile]] = {}

    def add(self, file: IgnoreFile) -> None:
        self._files.setdefault(file.folder, []).append(file)

    def why_ignored(self, path: str) -> str:
        """The rule that ignores a path (a folder's ends in a slash), e.g. `ignored by .gitignore line 3: *.pyc`, or nothing."""
        if not self._files:
            return ""
        name = path.rstrip("/")
        while name:
            name = name.rpartition("/")[0]
            for file in reversed(self._files.get(name, ())):
                result = file.spec.check_file(path[len(name) + 1 :] if name else path)
                if result.include is None or result.index is None:
                    continue
                if not result.include:
                    return ""
                where = f"{name}/{file.name}" if name else file.name
                return f"ignored by {where} line {result.index + 1}: {file.lines[result.index].strip()}"
        return ""


def _spec(lines: Sequence[str]) -> GitIgnoreSpec:
    """One pattern a line, so that a match tells its line. What cannot be read names nothing, as for git."""
    return GitIgnoreSpec.from_lines([line if _is_pattern(line) else "#" for line in lines])


def _is_pattern(line: str) -> bool:
    try:
        return bool(line) and bool(GitIgnoreSpec.from_lines([line]))
    except (ValueError, re.error):
        return False
