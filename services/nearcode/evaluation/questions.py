"""Makes questions of every kind from files and a history. Pure: the same files and seed give the same questions."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from nearcode.evaluation.calls import call_questions
from nearcode.evaluation.commits import Commit, commit_questions
from nearcode.evaluation.completions import completion_questions
from nearcode.evaluation.documentation import documentation_questions, not_leaked
from nearcode.evaluation.drawing import LIMIT, draw
from nearcode.evaluation.question import KINDS, Kind, Question
from nearcode.evaluation.source import Outline, SourceFile, outlined

SPARE = 2
"""Times the questions that are kept, drawn from documentation before those that leak are left out."""


def generate(
    files: Mapping[str, bytes],
    outline: Outline,
    commits: Iterable[Commit] = (),
    kinds: Collection[Kind] = KINDS,
    seed: int = 0,
    limit: int = LIMIT,
) -> list[Question]:
    """Questions from the bytes of files by their paths: at most `limit` of each kind, drawn by hash.

    `outline` is `nearcode.chunking.outline.outline`. Index `documentation.hide(files, questions)`, not the files.
    """
    return from_sources(list(outlined(files, outline)), commits, kinds, seed, limit)


def from_sources(
    sources: Sequence[SourceFile],
    commits: Iterable[Commit] = (),
    kinds: Collection[Kind] = KINDS,
    seed: int = 0,
    limit: int = LIMIT,
) -> list[Question]:
    """The same, from files that are outlined already."""
    questions: list[Question] = []
    if Kind.DOCUMENTATION in kinds:
        questions += _documentation(sources, seed, limit)
    if Kind.COMMIT in kinds:
        questions += draw(commit_questions(commits, {file.path for file in sources}), seed, limit)
    if Kind.CALL in kinds:
        questions += draw(call_questions(sources), seed, limit)
    if Kind.COMPLETION in kinds:
        questions += draw(completion_questions(sources, seed), seed, limit)
    return questions


def _documentation(sources: Sequence[SourceFile], seed: int, limit: int) -> list[Question]:
    candidates = draw(documentation_questions(sources), seed, SPARE * limit)
    return not_leaked({file.path: file.data for file in sources}, candidates, limit)


def fitting(questions: Iterable[Question], blobs: Mapping[str, str]) -> list[Question]:
    """Those whose code is still what it was."""
    return [question for question in questions if question.fits(blobs)]
