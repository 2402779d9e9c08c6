"""What nothing may be learned from: names and repositories by their hashes, and copies of them inside other packages."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_REPOSITORY = re.compile(r"(?:github\.com|gitlab\.com|bitbucket\.org)[/:]([\w.-]+/[\w.-]+?)(?:\.git)?(?![\w.-])", re.IGNORECASE)
_MANIFESTS = frozenset(
    {"package.json", "composer.json", "Cargo.toml", "go.mod", "pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO"}
)
_NAME = re.compile(r"""^\s*["']?(?:name|module)["']?\s*[:=]?\s*["']?([\w@./-]+)""", re.MULTILINE | re.IGNORECASE)
_VENDOR = frozenset(
    {
        "vendor",
        "_vendor",
        "vendored",
        "third_party",
        "thirdparty",
        "third-party",
        "external",
        "extern",
        "externals",
        "deps",
        "node_modules",
        "bundled",
        "contrib",
    }
)
_HEADER = 3_000
"""Characters in which a copied file says where it comes from."""
_SHINGLE = 5
_COPIED = 0.25
"""Share of a file's shingles that makes it a copy. Boilerplate (licences, headers of formats) stays well below it."""


class DenyList:
    """Names by the first 24 hex digits of sha256 of their lower case; `copies` are shingles of files not to be learned from."""

    def __init__(self, hashes: Iterable[str] = (), copies: frozenset[int] = frozenset()) -> None:
        self._hashes = frozenset(hashes)
        self._copies = copies

    def names(self, *names: str) -> bool:
        """Whether any of the names is denied."""
        return any(hashlib.sha256(name.lower().encode()).hexdigest()[:24] in self._hashes for name in names if name)

    def package(self, name: str, repository: str) -> bool:
        """Whether a package is denied, by any form of its name or by the repository that its metadata give."""
        parts = [part for part in re.split(r"[/:]", name) if part and not re.fullmatch(r"v\d+", part)]
        short = parts[-1] if parts else name
        bare = re.sub(
            r"(_2\.1[23]|-jvm|-core|-js|\.js)+$|^(ruby|php|lua|haskell|elixir|erlang|python|node|go|rust)-|@.*$", "", short
        )
        forms = {
            name,
            name.lstrip("@"),
            short,
            bare,
            "/".join(parts[-2:]),
            "/".join(parts[1:3]),
            short.replace("_", "-"),
            *parts[1:],
        }
        for found in _REPOSITORY.findall(repository):
            forms |= {found, found.split("/")[1]}
        return self.names(*forms)

    def folder(self, folder: Path, name: str) -> bool:
        """Whether a folder inside a package is a copy of something denied: by its place, or by what its manifest says it is."""
        if folder.parent.name.lower() in _VENDOR and self.names(name, re.sub(r"[-_.]?v?\d[\d.]*$", "", name)):
            return True
        for manifest in (path for each in sorted(_MANIFESTS) if (path := folder / each).is_file()):
            text = manifest.read_text("utf-8", "replace")[:_HEADER]
            told = next(iter(_NAME.findall(text)), "")
            if self.package(told, _own_repository(manifest.name, text)):
                return True
        return False

    def text(self, text: str) -> bool:
        """Whether a file says that it comes from a denied repository, or shares much of one's text."""
        for found in _REPOSITORY.findall(text[:_HEADER]):
            if self.names(found):
                return True
        if not self._copies:
            return False
        own = shingles(text)
        return bool(own) and len(own & self._copies) >= max(6, _COPIED * len(own))


def _own_repository(name: str, text: str) -> str:
    if name == "package.json":
        try:
            return str(json.loads(text).get("repository", ""))
        except (ValueError, AttributeError):
            return ""
    return ""


def shingles(text: str) -> frozenset[int]:
    """Hashes of five lines in a row that hold letters, spaces aside: equal for a copy whatever its place or indentation."""
    lines = [line for raw in text.splitlines() if len(line := "".join(raw.split())) > 3]
    return frozenset(
        int.from_bytes(hashlib.blake2b("\n".join(lines[at : at + _SHINGLE]).encode(), digest_size=8).digest(), "big")
        for at in range(len(lines) - _SHINGLE + 1)
    )


def read_denylist(path: Path | None, texts: Sequence[Path] = (), suffixes: frozenset[str] = frozenset()) -> DenyList:
    """From a file of hashes, and folders of sources that must not be found again inside packages."""
    hashes = path.read_text("utf-8").split() if path else []
    copies: set[int] = set()
    for folder in texts:
        for source in sorted(folder.rglob("*")):
            if source.suffix in suffixes and source.is_file() and source.stat().st_size <= 400_000:
                copies |= shingles(source.read_text("utf-8", "replace"))
    return DenyList(hashes, frozenset(copies))
