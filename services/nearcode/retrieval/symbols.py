"""What a question looks like: words, names of code, a path, an error message."""

import re
from dataclasses import dataclass

from nearcode.domain.terms import split_identifier

_BACKTICKED = re.compile(r"`([^`\n]{2,80})`")
_TOKEN = re.compile(r"[A-Za-z_$@#][\w$]*(?:(?:\.|::|->|#|/|-(?=\w))[\w$]+)*(?:\(\))?[!?]?")
_JOINTS = re.compile(r"\.|::|->|#|/")
_CAMEL = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2,}[a-z]{2,}")
_PATH = re.compile(
    r"(?:[\w.@-]+/)+[\w.@-]+"
    r"|\b[\w-]+\.(?:py|pyi|js|jsx|ts|tsx|go|rs|rb|java|kt|c|h|cc|cpp|hpp|cs|php|swift|scala|ex|lua|zig|sh)\b"
)
_ERROR = re.compile(r"\b\w+(?:Error|Exception|Warning|Panic)\b|\bTraceback\b|\berror:|\bpanic:|\bE\d{3,5}\b")

_QUESTION_WORDS = """
    a an and any are as at be been by can could do does for from get gets has have how i if in into is it its me my of on or
    our should show so some that the their them then there these they this to us used uses using was we were what when
    where which while who why will with would you your happen happens work works
"""
STOP_WORDS = frozenset(_QUESTION_WORDS.split())
"""Words that ask, not words that are asked for: public code holds them less often than English does, so idf overrates them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A question's names (for the definition lane), file paths, its words that count, and how much of it is code, 0 to 1."""

    names: tuple[str, ...]
    paths: tuple[str, ...]
    words: tuple[str, ...]
    symbolic: float


def looks_like_code(token: str) -> bool:
    """Whether a token could not be a word of prose: camelCase, snake_case, dotted, called, or with a sigil."""
    bare = token.rstrip("!?")
    if bare.endswith("()") or "::" in bare or "->" in bare or bare.startswith(("@", "$", "#")):
        return True
    return "_" in bare.strip("_") or bool(_CAMEL.search(bare)) or ("." in bare.strip(".") and not bare.endswith("."))


def shape(question: str) -> Shape:
    """Looks at a question."""
    paths = tuple(dict.fromkeys(_PATH.findall(question)))
    quoted = [part for part in _BACKTICKED.findall(question) if " " not in part.strip()]
    tokens = [token for token in _TOKEN.findall(question) if token.lower() not in STOP_WORDS]
    code = [token for token in tokens if looks_like_code(token)]
    if len(tokens) == 1 and not code:
        code = tokens
    names = dict.fromkeys(name for token in (*quoted, *code) for name in _names(token))
    words = dict.fromkeys(word for token in tokens for word in split_identifier(token) if word not in STOP_WORDS)
    symbolic = min(1.0, (len(code) + len(quoted)) / max(1, len(tokens)))
    if _ERROR.search(question) or paths:
        symbolic = max(symbolic, 0.5)
    return Shape(tuple(names), paths, tuple(words), symbolic)


def _names(token: str) -> list[str]:
    """Names that a token may be defined under: the last part of a dotted one first, then the parts before it and the whole."""
    bare = token.strip("`").rstrip("!?").removesuffix("()").lstrip("@$#")
    parts = [part for part in _JOINTS.split(bare) if len(part) > 1]
    return [*reversed(parts), *([bare] if len(parts) > 1 else [])]
