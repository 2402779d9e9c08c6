"""Questions from calls: a cursor behind the opening bracket of a call of something that one other file defines."""

import re
from collections import defaultdict
from collections.abc import Iterable

from nearcode.evaluation.question import Cut, Kind, Place, Question, question_id
from nearcode.evaluation.source import Definition, SourceFile, definitions, line_at, questionable, text

SHORTEST_NAME = 5
"""Characters. Shorter names mean something else in the next file."""
FEWEST_LINES_BEFORE = 5
"""Lines above the call: a cursor at a file's start says nothing of its place."""
_OPENING = re.compile(rb"!?\(")
_END_OF_LINE = re.compile(rb"\r?\n|\Z")


def call_questions(files: Iterable[SourceFile]) -> list[Question]:
    """One question for each definition that one place defines and another file calls: at the first call of each file."""
    asked = questionable(files)
    defined = _defined_once(asked)
    made: dict[str, list[Question]] = defaultdict(list)
    for file in asked:
        for name, start in _references(file):
            definition = defined.get((file.outline.language, name))
            if definition and definition.file.path != file.path and (question := _question(file, name, start, definition)):
                made[name].append(question)
    return [min(questions, key=lambda one: one.id) for questions in made.values()]


def _defined_once(files: Iterable[SourceFile]) -> dict[tuple[str, str], Definition]:
    found: dict[tuple[str, str], list[Definition]] = defaultdict(list)
    names: dict[tuple[str, str], int] = defaultdict(int)
    for file in files:
        for chunk in file.outline.chunks:
            spans = list(chunk.definitions)
            for name in {text(file.data, *span) for span in zip(spans[::2], spans[1::2], strict=True)}:
                names[file.outline.language, name] += 1
        for definition in definitions(file):
            if len(definition.name) >= SHORTEST_NAME:
                found[file.outline.language, definition.name].append(definition)
    return {key: same[0] for key, same in found.items() if len(same) == 1 and names[key] <= _pieces(same[0])}


def _pieces(definition: Definition) -> int:
    """Chunks that name it: its own, those it was cut into, and its class's outline."""
    outer = definition.chunk.scopes
    return 1 + bool(outer) + sum(one.signature == definition.chunk.signature for one in definition.file.outline.chunks[1:])


def _references(file: SourceFile) -> Iterable[tuple[str, int]]:
    """Names that are called, each at its first call of a chunk, with the place behind the opening bracket."""
    for chunk in file.outline.chunks:
        spans = list(chunk.references)
        for start, end in zip(spans[::2], spans[1::2], strict=True):
            if opening := _OPENING.match(file.data, end):
                yield text(file.data, start, end), opening.end()


def _question(file: SourceFile, name: str, start: int, definition: Definition) -> Question | None:
    if line_at(file.data, start) <= FEWEST_LINES_BEFORE:
        return None
    rest = _END_OF_LINE.search(file.data, start)
    cursor = Cut(file.path, file.blob, start, rest.start() if rest else start)
    answer = Place(definition.file.path, definition.file.blob, definition.start_line, definition.end_line)
    return Question(question_id(Kind.CALL, file.path, name, start), Kind.CALL, cursor=cursor, answers=(answer,))
