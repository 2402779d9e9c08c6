"""A cursor in code -> what the lanes need.

The edited file itself is never returned: its text is in the editor, the caller decides how much of it the model reads, and
its stored version is older than what is typed.
"""

import keyword
import re
from collections.abc import Sequence
from functools import lru_cache

from nearcode.domain.retrieval import CodeCursor
from nearcode.domain.terms import identifier_terms, identifiers, split_identifier
from nearcode.retrieval.files import file_facts
from nearcode.retrieval.imports import read_imports
from nearcode.retrieval.intent import Edited, Intent
from nearcode.retrieval.names import REMEMBERED_LINES
from nearcode.retrieval.stems import stem

PREFIX_LINES = 20
"""Lines before the cursor that make the question (RepoCoder, arXiv 2303.12570, uses 20-line windows)."""
SUFFIX_LINES = 5
"""Lines after it: they say what comes next, and are often the unrelated next definition."""
LONGEST = 4_000
"""Characters of each side that are read: a minified line must not become the question."""
IMPORT_CHARACTERS = 20_000
"""Characters from the file's start in which imports are looked for."""
HALF_LIFE = 5.0
"""Lines before the cursor at which a line counts half: what is written next follows from the nearest lines."""
EMBEDDED_LINES = 10
"""Lines before the cursor that are embedded: a sum of vectors knows no weights, and farther lines drown the nearest."""
SUFFIX_WEIGHT = 0.5
SYMBOLIC = 0.6
"""Code is asked with code: the lexical lane finds the names that are used, the dense lane the alike."""
MOST_NAMES = 24
_DEFINITION = re.compile(
    r"^\s*(?:(?:export|default|public|private|protected|static|async|pub|final|abstract|override|inline|virtual)\s+)*"
    r"(?:def|class|func|function|fn|fun|interface|struct|trait|impl|enum|module|type)\s+(?:\([^)]*\)\s*)?([A-Za-z_]\w*)", re.M
)  # fmt: skip
_WORDS_OF_LANGUAGES = """
    self this cls true false null nil none int str string bool void var let const function func fn pub return new public
    private static final print len list dict set tuple range float double char long args kwargs struct enum interface type
    end do then elif else case switch throw throws catch try export default extends implements package using namespace
    include define
"""
COMMON_WORDS = frozenset(keyword.kwlist) | frozenset(_WORDS_OF_LANGUAGES.split())


def read_cursor(cursor: CodeCursor) -> Intent:
    """Reads the code around a cursor."""
    before = cursor.prefix[-LONGEST:].splitlines()[-PREFIX_LINES:]
    after = cursor.suffix[:LONGEST].splitlines()[:SUFFIX_LINES]
    imports = read_imports(cursor.path, cursor.prefix[:IMPORT_CHARACTERS])
    current = current_definition(cursor.prefix[-LONGEST:])
    terms = _weigh(before, after, current)
    own = set(_DEFINITION.findall(cursor.prefix))
    names = [name for name in (current, *_last_names(before)) if name][:MOST_NAMES]
    text = "\n".join((*before[-EMBEDDED_LINES:], *after)).strip()
    return Intent(
        text=text or cursor.path,
        terms=terms or dict.fromkeys(identifier_terms(cursor.path), 1.0),
        names=tuple(name for name in names if name not in own),
        stems={stem(word): word for name in reversed(names) for word in split_identifier(name)},
        symbolic=SYMBOLIC,
        asked=file_facts(cursor.path).kinds,
        edited=Edited(cursor.path, imports),
    )


def _weigh(before: Sequence[str], after: Sequence[str], current: str) -> dict[str, float]:
    """Terms with their weights: less with each line before the cursor, whole for the name of what is being written."""
    lines = [(line, 0.5 ** (distance / HALF_LIFE)) for distance, line in enumerate(reversed(before))]
    terms: dict[str, float] = {}
    for line, weight in (*lines, *((line, SUFFIX_WEIGHT) for line in after), (current, 1.0)):
        for term in _line_terms(line):
            terms[term] = max(weight, terms.get(term, 0.0))
    return terms


@lru_cache(maxsize=REMEMBERED_LINES)
def _line_terms(line: str) -> tuple[str, ...]:
    """Terms of a line."""
    names = dict.fromkeys(name for name in identifiers(line) if name not in COMMON_WORDS)
    return tuple(dict.fromkeys(term for name in names for term in identifier_terms(name)))


def current_definition(prefix: str) -> str:
    """The name of the last definition that begins before the cursor; empty if there is none."""
    found = _DEFINITION.findall(prefix)
    return str(found[-1]) if found else ""


def _last_names(lines: Sequence[str]) -> list[str]:
    """Identifiers used, the nearest to the cursor first."""
    names = dict.fromkeys(reversed(identifiers("\n".join(lines))))
    return [name for name in names if len(name) > 2 and name not in COMMON_WORDS and not name.isdigit()]
