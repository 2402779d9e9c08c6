"""Which files are indexed: rules on path, kind and size. Content rules (binary, minified) are the chunker's."""

import fnmatch
import re
from pathlib import PurePosixPath

from nearcode.domain.languages import language_of

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
