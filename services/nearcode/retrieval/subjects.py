"""What a test's name says of the file that it tests."""

import posixpath
import re
from functools import lru_cache

from nearcode.retrieval.files import file_facts

_TEST_WORD = re.compile(r"^(?:test|tests|it|spec)[_.-]+|[_.-]+(?:test|tests|spec|specs|it|e2e|unittest)$", re.I)
_TEST_CAMEL = re.compile(r"(?<=[a-z0-9])(?:Tests?|Spec|Specs|IT|TestCase|Suite)$|^Test(?=[A-Z])")


@lru_cache(maxsize=100_000)
def subject_of(path: str) -> str:
    """A file's name without extension, marks of tests, case and underscores; for `index`, `main` and the like, its folder's."""
    folder, name = posixpath.split(path)
    stem = name.split(".")[0] if name.count(".") < 2 else name.rsplit(".", 1)[0]
    stem = stem.removesuffix(".d")
    plain = _TEST_CAMEL.sub("", _TEST_WORD.sub("", stem))
    if plain.strip("_").lower() in ("init", "index", "mod", "lib", "main", ""):
        plain = posixpath.basename(folder)
    return re.sub(r"[^a-z0-9]", "", plain.lower())


def is_test(path: str) -> bool:
    """Whether the path is one of a test."""
    return "test" in file_facts(path).kinds
