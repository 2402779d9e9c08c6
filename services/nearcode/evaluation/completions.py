"""Questions from masked regions: a cursor in a function whose next lines are missing, and the names that they need."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from nearcode.domain.terms import identifiers
from nearcode.evaluation.drawing import order
from nearcode.evaluation.question import Cut, Kind, Question, question_id
from nearcode.evaluation.source import Definition, SourceFile, definitions, questionable, text

MASKED_LINES = 5
"""Lines that are missing: what one completion writes."""
FEWEST_LINES = 8
"""Lines of a function with a middle."""
_LITERAL = re.compile(
    r"\"\"\".*?\"\"\"|/\*.*?\*/|`[^`]*`"
    r"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|(?://|(?<!\S)#(?![\[!])|(?<!\S)--\s)[^\n]*",
    re.S,
)
"""Strings and comments of most languages."""
_WORDS = """
    abstract and as assert async await bool boolean break byte case catch chan char class cls const continue def default
    defer del do double elif else end endif enum except export extends extern false final finally float fn for foreach
    from func function global go if impl implements import in inline int interface is it lambda len let list long loop
    map match mod module mut namespace new nil none not null object or override package pass print private protected pub
    public raise range return self short static str string struct super switch this throw throws trait true try tuple
    type typeof undefined union unless unsigned use using val var void when where while with yield
"""
_WORDS_OF_LANGUAGES = frozenset(_WORDS.split())
"""What every file of a language may hold: no context is needed for them."""


def names_in(code: str) -> list[str]:
    """The distinct names of a piece of code in order: no literals, comments, numbers or words of a language."""
    plain = _LITERAL.sub(" ", code)
    found = dict.fromkeys(identifiers(plain))
    return [name for name in found if len(name) > 1 and not name[0].isdigit() and name.lower() not in _WORDS_OF_LANGUAGES]


def completion_questions(files: Sequence[SourceFile], seed: int) -> list[Question]:
    """One question for each function with a middle that needs names which only other files show. `seed` chooses the line."""
    spread: Counter[str] = Counter()
    shown: dict[str, set[str]] = {}
    for file in files:
        words = shown[file.path] = set(identifiers(text(file.data, 0, len(file.data))))
        spread.update(words)
    made = (_question(one, spread, seed) for file in questionable(files) for one in definitions(file) if one.is_function)
    return [question for question in made if question]


def _question(definition: Definition, spread: Counter[str], seed: int) -> Question | None:
    file, starts = definition.file, _line_starts(definition.file.data)
    span = definition.docstring
    first = definition.start_line
    if span and span[0] > definition.chunk.signature[0]:
        first += file.data.count(b"\n", definition.chunk.signature[0], span[1])
    length = definition.end_line - first + 1
    if length < FEWEST_LINES:
        return None
    chance = order(seed, f"{file.path}\0{definition.name}\0{definition.start_line}")[0] / 256
    line = first + max(2, round(length * (0.3 + 0.4 * chance)))
    last = min(line + MASKED_LINES, definition.end_line)
    cut = Cut(file.path, file.blob, starts[line - 1], starts[last - 1] - 1)
    names = names_in(text(file.data, cut.start, cut.end))
    around = set(identifiers(text(file.data, 0, cut.start) + "\n" + text(file.data, cut.end, len(file.data))))
    missing = tuple(name for name in names if name not in around and spread[name] > 1)
    if not missing:
        return None
    name = question_id(Kind.COMPLETION, file.path, cut.start, cut.end)
    return Question(name, Kind.COMPLETION, cursor=cut, identifiers=missing, known=len(names) - _absent(names, around))


def _absent(names: Iterable[str], around: set[str]) -> int:
    return sum(name not in around for name in names)


def _line_starts(data: bytes) -> list[int]:
    return [0, *(match.end() for match in re.finditer(rb"\n", data)), len(data) + 1]
