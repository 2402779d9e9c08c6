"""Questions from commits: what a message says was done; the files that it was done to answer, as they are now."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nearcode.domain.languages import language_of
from nearcode.evaluation.question import Kind, Place, Question, question_id
from nearcode.evaluation.source import is_asked_for

MOST_FILES = 10
"""Files that a commit touches: more is a sweep through the code."""
MOST_ANSWERS = 4
"""Files of code among them."""
FEWEST_WORDS = 5
MOST_CHARACTERS = 400
LOG_FORMAT = "%x01%H%x02%an <%ae>%x02%P%x02%B%x02"
"""For `git log --name-only -z`."""
NEWEST = 5_000
"""Commits looked at: what an older one touched is rarely there any more."""

_BOTS = re.compile(
    r"\[bot\]|dependabot|renovate|greenkeeper|snyk|pre-commit-ci|github-actions|weblate|crowdin|-bot\b|\bbot@", re.I
)
_TRIVIAL = re.compile(
    r"^(?:merge|revert|bump|release|version|v?\d+\.\d+|prepare|upgrade|changelog|typo|fix(?:ed)? typos?|lint|format|style|cs\b"
    r"|update (?:dep|change|readme|version|copyright|licen|contribut|author)|whitespace|wip|fixup|squash|back to dev|pin "
    r"|chore\(deps|build\(deps|(?:chore|docs?|ci|build|style|test)\b.{0,20}:|\[ci|\[skip)|\b(?:typos?|changelog|copyright)\b",
    re.I,
)
_PREFIX = re.compile(r"^(?:feat|fix|perf|refactor|feature|bugfix)(?:\(([^)]*)\))?!?:\s*", re.I)
_TRAILER = re.compile(
    r"^(?:[A-Z][\w-]+-by|Change-Id|Fixes|Closes|Refs?|See|PiperOrigin\S*|Cc|Bug|Issue|Backport\S*)\s*:?\s", re.I
)
_NUMBER = re.compile(
    r"\s*\(?(?:(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?|refs?|see|gh|pr|issue|bpo|ticket)[\s:]*)*#\d+\)?\.?", re.I
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as git tells it."""

    id: str
    author: str
    parents: tuple[str, ...]
    message: str
    paths: tuple[str, ...]


def parse_log(log: bytes) -> list[Commit]:
    """Reads what `git log --name-only -z --format=LOG_FORMAT` says."""
    commits: list[Commit] = []
    for record in log.decode("utf-8", "replace").split("\x01")[1:]:
        fields = record.split("\x02")
        if len(fields) == 5:
            name, author, parents, message, paths = fields
            touched = tuple(path for path in paths.replace("\n", "\0").split("\0") if path)
            commits.append(Commit(name, author, tuple(parents.split()), message.strip(), touched))
    return commits


def commit_questions(commits: Iterable[Commit], paths: Collection[str]) -> list[Question]:
    """A question for each commit that changed a few files of code which are still there under the same path. The index is of
    now: a commit's code is in it."""
    made = (_question(commit, paths) for commit in commits)
    return [question for question in made if question]


def _question(commit: Commit, paths: Collection[str]) -> Question | None:
    if len(commit.parents) > 1 or len(commit.paths) > MOST_FILES or _BOTS.search(commit.author):
        return None
    asked = request(commit.message)
    code = [path for path in commit.paths if language_of(path) and is_asked_for(path)]
    if not asked or not 1 <= len(code) <= MOST_ANSWERS or any(path not in paths for path in code):
        return None
    answers = tuple(Place(path) for path in sorted(code))
    return Question(question_id(Kind.COMMIT, commit.id), Kind.COMMIT, asked, answers=answers)


def request(message: str) -> str:
    """What was to be done, in the message's words: its subject and first paragraph; empty if that says nothing of code."""
    subject, _, body = message.strip().partition("\n")
    if _TRIVIAL.search(subject):
        return ""
    scope = _PREFIX.match(subject)
    subject = (f"{scope[1]}: " if scope and scope[1] else "") + _PREFIX.sub("", subject)
    lines = body.strip().split("\n\n")[0].splitlines()
    rest = " ".join(line.strip() for line in lines if not _TRAILER.match(line.strip()) and "http" not in line)
    subject = _NUMBER.sub("", subject).strip().rstrip(".")
    said = " ".join(_NUMBER.sub(" ", f"{subject}. {rest}").split())
    said = said[:MOST_CHARACTERS].rsplit(" ", 1)[0] if len(said) > MOST_CHARACTERS else said
    return said if len(subject.split()) >= FEWEST_WORDS else ""
