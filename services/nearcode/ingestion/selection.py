"""Which files are indexed: a repository's policy, and rules on path, kind and size. Content rules (binary, minified) are the
chunker's."""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec

from nearcode.domain.errors import InvalidRequest
from nearcode.domain.languages import language_of
from nearcode.domain.policy import EVERYTHING, IndexPolicy
from nearcode.ingestion.projects import LARGEST, project_kind

LEFT_OUT_FOLDERS = frozenset(
    {".git", ".hg", ".svn", ".jj", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".idea"}
)
"""Folders of tools and of installed packages; nobody means them by "my code"."""

_SECRETS = (
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "id_rsa*",
    "id_ed25519*",
    ".netrc",
    ".npmrc",
    ".pypirc",
)
_SECRET = re.compile("|".join(map(fnmatch.translate, _SECRETS)))
_CONTROL = re.compile(r"[\x00-\x1f]")
_LONGEST_PATH = 1024
_DEEPEST_PATH = 100


class Selection:
    """The files of one repository that its policy names and that no rule leaves out."""

    def __init__(self, largest: int, policy: IndexPolicy = EVERYTHING) -> None:
        """`largest`: the server's limit in bytes, which no policy lifts. Raises InvalidRequest."""
        policy.check()
        self._policy = policy
        self._include = _compiled(policy.include, "policy.include")
        self._exclude = _compiled(policy.exclude, "policy.exclude")
        self._largest = largest

    def why_left_out(self, path: str, size: int) -> str:
        """The rule that leaves a file out, or an empty string. `path` is relative, with slashes; sizes in bytes."""
        return self._why_not_selected(path, size) or why_left_out(path, size, self._largest)

    def describes(self, path: str, size: int) -> bool:
        """Whether the file tells how imports are resolved and may be read for that, be its kind indexed or not."""
        return 0 < size <= LARGEST and bool(project_kind(path)) and not self._why_not_selected(path, 0)

    def _why_not_selected(self, path: str, size: int) -> str:
        policy = self._policy
        excluded = self._exclude.check_file(path) if policy.exclude else None
        if excluded and excluded.include and excluded.index is not None:
            return f"not selected: policy exclude `{policy.exclude[excluded.index]}`"
        if policy.include and not self._include.match_file(path):
            return "not selected: no pattern of policy include names it"
        if 0 < policy.largest_file < min(size, self._largest):
            return f"not selected: larger than policy largest_file, {policy.largest_file:,} bytes"
        return ""


def _compiled(patterns: Sequence[str], field: str) -> GitIgnoreSpec:
    for pattern in patterns:
        try:
            found = GitIgnoreSpec.from_lines([pattern]).patterns
        except (ValueError, re.error) as error:
            raise InvalidRequest(f"`{pattern}` is no pattern of .gitignore: {error}", field=field) from error
        if _CONTROL.search(pattern) or not any(each.include is not None for each in found):
            raise InvalidRequest(f"`{pattern}` names no file: write it as in a .gitignore", field=field)
    return GitIgnoreSpec.from_lines(patterns)


def why_left_out(path: str, size: int, largest: int) -> str:
    """The rule that leaves a file out, or an empty string. `path` is relative, with slashes; sizes in bytes."""
    name = path.rpartition("/")[2]
    if len(path) > _LONGEST_PATH or path.count("/") > _DEEPEST_PATH:
        return f"path is longer than {_LONGEST_PATH} characters or deeper than {_DEEPEST_PATH} folders"
    if _CONTROL.search(path):
        return "path has control characters"
    if _SECRET.match(name):
        return "may hold secrets"
    if language_of(path) is None:
        return f"kind is not indexed: {PurePosixPath(path).suffix or name}"
    if size > largest:
        return f"larger than {largest:,} bytes"
    return ""
