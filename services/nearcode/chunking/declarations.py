"""Names defined in languages that have no grammar here, told by keywords at the start of a line."""

import re
import tomllib
from functools import lru_cache
from importlib import resources

from nearcode.domain.languages import Language

Span = tuple[int, int]


def declared_names(language: Language, source: bytes) -> list[Span]:
    """Spans of the names that a line-based guess takes for definitions, in order."""
    pattern = _patterns().get(language.name)
    if pattern is None:
        return []
    return [match.span(match.lastindex or 0) for match in pattern.finditer(source)]


@lru_cache(maxsize=1)
def _patterns() -> dict[str, re.Pattern[bytes]]:
    text = resources.files("nearcode.chunking").joinpath("languages", "declarations.toml").read_text(encoding="utf-8")
    return {
        name: re.compile(pattern.encode(), re.MULTILINE)
        for entry in tomllib.loads(text)["declarations"]
        for name in entry["languages"]
        for pattern in [entry["pattern"]]
    }
