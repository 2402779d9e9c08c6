"""What a path tells of a file: the words of its name, and whether it is a test, an example, generated or someone else's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from nearcode.retrieval.stems import name_stems, stem

_KINDS: Mapping[str, re.Pattern[str]] = {
    "test": re.compile(
        r"(^|/)(tests?|testing|spec|specs|__tests__|__mocks__|testdata|fixtures?|mocks?|e2e|[\w-]+[_-]tests?)/"
        r"|(^|/)(test_[^/]*\.(py|rb|c|cc|cpp|h|hpp|lua|jl|el|php)|conftest\.py|[^/]*\.bats|[^/]*([_.-](test|spec|tests)|Tests?|Spec)\.\w+)$"
    ),
    "example": re.compile(
        r"(^|/)(examples?|samples?|demos?|benchmarks?|bench|playground|tutorials?|cookbook|sandbox)/"
        r"|(^|/)docs?[_-](src|examples?|snippets?)/",
        re.I,
    ),
    "document": re.compile(
        r"(^|/)(docs?|documentation|website|changelogs?)/|\.(md|rst|txt|adoc)$|(^|/)(CHANGELOG|CHANGES|HISTORY|NEWS)\b", re.I
    ),
    "generated": re.compile(
        r"(_pb2(_grpc)?\.pyi?|\.pb\.\w+|\.gen\.\w+|\.generated\.\w+|_generated\.\w+|\.min\.\w+|\.d\.ts|\.lock|\.snap)$"
        r"|(^|/)(generated|dist|build|migrations|locales?|i18n|single_include|amalgamation)/"
    ),
    "vendored": re.compile(r"(^|/)(vendor|vendored|_vendor|third[_-]?party|node_modules|external|deps|extern)/"),
    "barrel": re.compile(r"(^|/)(__init__\.pyi?|index\.[jt]sx?|mod\.rs|package-info\.java|prelude\.rs|all\.hpp)$"),
    "legacy": re.compile(
        r"(^|/)(legacy|deprecated|compat|_compat|old|obsolete)(/|\.\w+$)|(^|/)[^/]*_(compat|deprecated|legacy)\.\w+$"
    ),
}

KINDS = tuple(_KINDS)
"""The kinds of files that are told apart."""


def _stems(words: str) -> frozenset[str]:
    return frozenset(map(stem, words.split()))


_ASKS: Mapping[str, frozenset[str]] = {
    "test": _stems("test tests testing spec mock mocks fixture fixtures assert"),
    "example": _stems("example examples sample demo benchmark tutorial"),
    "document": _stems("docs documentation readme changelog guide"),
    "generated": _stems("generated migration migrations locale protobuf build"),
    "vendored": _stems("vendor vendored third"),
    "barrel": _stems("init exports reexport package"),
    "legacy": _stems("legacy deprecated compat compatibility"),
}
_HOLLOW = frozenset({"init", "index", "mod", "main", "lib"})
"""File names that say nothing; their folder's name stands in."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a path tells: stems of the file's name and of its folders, and the kinds of file it is."""

    name: frozenset[str]
    folders: frozenset[str]
    kinds: frozenset[str]


@lru_cache(maxsize=100_000)
def file_facts(path: str) -> FileFacts:
    """Reads a path."""
    *folders, name = path.split("/")
    plain = name.split(".")[0] or name
    stems = name_stems(plain)
    if folders and (plain.strip("_").lower() in _HOLLOW):
        stems |= name_stems(folders[-1])
    kinds = frozenset(kind for kind, pattern in _KINDS.items() if pattern.search(path))
    return FileFacts(stems, name_stems("/".join(folders)), kinds)


def asked_kinds(stems: frozenset[str]) -> frozenset[str]:
    """The kinds of files that a question asks for."""
    return frozenset(kind for kind, asks in _ASKS.items() if asks & stems)
