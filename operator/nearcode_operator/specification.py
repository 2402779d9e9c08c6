"""Reads a Repository resource's spec, field by field. Whatever it is made of, problems come in words."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from nearcode.domain.address import Address
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.spaces import CHAT, COMPLETION

from nearcode_operator.model import Limits

MOST_BRANCHES, MOST_PATTERNS, MOST_WORKERS, MOST_PRIORITY = 16, 64, 256, 100
DEFAULT_SCHEDULE = "*/5 * * * *"
_BRANCH = re.compile(r"(?![-./])[^\s~^:?*\[\\\x00-\x1f\x7f]{1,200}(?<![./])")
_NEVER_IN_BRANCH = ("..", "//", "/.", "@{", ".lock/")
"""With the pattern: what `git check-ref-format` refuses."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SIZE = re.compile(r"([1-9][0-9]{0,9})(Ki|Mi|)")
_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20}
_T = TypeVar("_T")


class _Problem(Exception):
    """What is wrong with a field, and how to write it."""


class Specification:
    """The fields of a spec. What is missing gets its default; what is wrong is told in `problems`, and gets it too."""

    def __init__(self, spec: object) -> None:
        self.problems: list[str] = []
        self._spec: Mapping[str, Any] = spec if isinstance(spec, Mapping) else {}
        self.url = self._read("url", _url, "")
        self.branches: tuple[str, ...] = self._read("branches", _branches, ())
        if self._spec.get("branches") is None:
            self.branches = ("main",)
        self.policy = IndexPolicy(
            include=self._read("selection.include", _patterns, ()),
            exclude=self._read("selection.exclude", _patterns, ()),
            largest_file=self._read("selection.largestFile", _size, 0),
            spaces=self._read("indexSpaces", _spaces, (COMPLETION, CHAT)),
        )
        self.schedule = self._read("schedule", _text, DEFAULT_SCHEDULE)
        self.credentials = self._read("credentials.secretRef.name", _secret, "")
        self.limits = self._limits()
        self.priority = self._read("priority", _between(-MOST_PRIORITY, MOST_PRIORITY), 0)
        self.suspended = self._read("suspend", _flag, False)
        if not self.url and not any(problem.startswith("spec.url") for problem in self.problems):
            self.problems.insert(0, "spec.url is missing: name the repository, https://HOST/PATH")

    def _limits(self) -> Limits:
        default, bounds = Limits(), _between(1, MOST_WORKERS)
        least = self._read("scaling.minWorkers", bounds, default.minimum)
        most = self._read("scaling.maxWorkers", bounds, default.maximum)
        if least <= most:
            return Limits(least, most)
        self.problems.append(f"spec.scaling.minWorkers is above maxWorkers, {most}: lower it, or raise maxWorkers")
        return default

    def _read(self, path: str, read: Callable[[Any], _T], default: _T) -> _T:
        value: Any = self._spec
        *parents, name = path.split(".")
        for depth, parent in enumerate(parents, 1):
            value = value.get(parent)
            if value is None:
                return default
            if not isinstance(value, Mapping):
                self._tell(".".join(parents[:depth]), "is no set of fields")
                return default
        if value.get(name) is None:
            return default
        try:
            return read(value[name])
        except _Problem as problem:
            self._tell(path, str(problem))
            return default

    def _tell(self, path: str, problem: str) -> None:
        if (words := f"spec.{path} {problem}") not in self.problems:
            self.problems.append(words)


def _url(value: object) -> str:
    """In its one spelling. A URL that may hold a password is not repeated in the message."""
    text = _text(value)
    if re.match(r"[a-z+]*:?//[^/?#]*@", text, re.IGNORECASE):
        raise _Problem("holds a user name or password: take it out, and name a Secret in spec.credentials.secretRef")
    if not re.fullmatch(r"https://[^\s?#]+", text):
        raise _Problem("is no https:// URL: write https://HOST/PATH, without query and fragment")
    try:
        return Address.parse(text, "any").url
    except (InvalidRequest, ValueError) as error:
        raise _Problem("is no https:// URL of a repository: write https://HOST/PATH") from error


def _branches(value: object) -> tuple[str, ...]:
    names = _texts(value)
    if not 1 <= len(names) <= MOST_BRANCHES or len(set(names)) < len(names):
        raise _Problem(f"must name 1 to {MOST_BRANCHES} branches, each once")
    for name in names:
        if not _BRANCH.fullmatch(name) or name.endswith(".lock") or any(part in name for part in _NEVER_IN_BRANCH):
            raise _Problem(f"names {name[:100]!r}, which git allows for no branch")
    return names


def _patterns(value: object) -> tuple[str, ...]:
    patterns = _texts(value)
    if len(patterns) > MOST_PATTERNS or not all(0 < len(one) <= 256 for one in patterns):
        raise _Problem(f"must be at most {MOST_PATTERNS} patterns of 1 to 256 characters, as in .gitignore")
    return patterns


def _size(value: object) -> int:
    """Bytes."""
    if isinstance(value, str | int) and (found := _SIZE.fullmatch(str(value))):
        return int(found[1]) * _UNITS[found[2]]
    raise _Problem("is no size: write bytes, or a number with Ki or Mi, for example 512Ki")


def _spaces(value: object) -> tuple[str, ...]:
    spaces = _texts(value)
    if COMPLETION not in spaces or set(spaces) - {COMPLETION, CHAT} or len(set(spaces)) < len(spaces):
        raise _Problem(f"must be [{COMPLETION}] or [{COMPLETION}, {CHAT}]")
    return tuple(space for space in (COMPLETION, CHAT) if space in spaces)


def _secret(value: object) -> str:
    if _NAME.fullmatch(name := _text(value)):
        return name
    raise _Problem("is no name of a Secret")


def _between(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise _Problem(f"must be a whole number from {least} to {most}")

    return read


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _Problem("must be true or false")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _Problem("must be a text")


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise _Problem("must be a list of texts")
