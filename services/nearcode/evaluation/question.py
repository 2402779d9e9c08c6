"""A question that the code itself answers, and its form as a line of JSON."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from nearcode.domain.errors import InvalidRequest
from nearcode.domain.retrieval import CodeCursor


class Kind(StrEnum):
    """What a question is made from."""

    DOCUMENTATION = "documentation"
    """What the documentation of a definition says, which is hidden from the index; the definition answers."""
    COMMIT = "commit"
    """What a commit's message says; the files that it touched answer."""
    CALL = "call"
    """A cursor behind the opening bracket of a call; the definition that is called answers, in another file."""
    COMPLETION = "completion"
    """A cursor where lines are missing; whatever holds the names in them that the file does not show."""


KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Place:
    """Lines of a file version, from 1, both included; start 0: the whole file, whatever its version."""

    path: str
    blob: str = ""
    start_line: int = 0
    end_line: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes of a file version, end excluded."""

    path: str
    blob: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """`text` or `cursor` is asked; `answers` or `identifiers` are to be found.

    `cursor` lies at the start of its bytes, which are what is about to be written. `hidden` is blanked in what is indexed.
    `identifiers` are the names of a masked region that the rest of the file does not show, and another file does; `known`
    counts those that the file shows.
    """

    id: str
    kind: Kind
    text: str = ""
    cursor: Cut | None = None
    answers: tuple[Place, ...] = ()
    identifiers: tuple[str, ...] = ()
    known: int = 0
    hidden: Cut | None = None

    def fits(self, blobs: Mapping[str, str]) -> bool:
        """Whether the code is still the code that the question was made from. `blobs`: path -> blob of what there is."""
        cuts = [cut for cut in (self.cursor, self.hidden) if cut]
        same = all(blobs.get(cut.path) == cut.blob for cut in cuts)
        return same and all(blobs.get(one.path, "-") == (one.blob or blobs.get(one.path)) for one in self.answers)


def question_id(*parts: object) -> str:
    """A name for what a question is made from: 16 hex digits."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def code_cursor(cut: Cut, data: bytes) -> CodeCursor:
    """The code before and after what is about to be written."""
    prefix, suffix = data[: cut.start], data[cut.end :]
    return CodeCursor(cut.path, prefix.decode("utf-8", "replace"), suffix.decode("utf-8", "replace"))


def dump(repository: str, question: Question) -> str:
    """A question as a line of JSON. It holds no code but the question's words and names."""
    return json.dumps({"repository": repository, **asdict(question)}, ensure_ascii=False)


def load(lines: Iterable[str]) -> dict[str, list[Question]]:
    """Questions by repository, from lines that `dump` wrote. Raises InvalidRequest naming the line that is none."""
    found: dict[str, list[Question]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            found.setdefault(values.pop("repository"), []).append(_question(values))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            message = f"line {number} is no question ({error}); write the file anew with --write-questions"
            raise InvalidRequest(message, field="questions") from error
    return found


def _question(values: dict[str, Any]) -> Question:
    cursor, hidden = (Cut(**values.pop(name)) if values.get(name) else values.pop(name, None) for name in ("cursor", "hidden"))
    answers = tuple(Place(**one) for one in values.pop("answers", ()))
    identifiers = tuple(map(str, values.pop("identifiers", ())))
    kind = Kind(values.pop("kind"))
    return Question(**values, kind=kind, cursor=cursor, answers=answers, identifiers=identifiers, hidden=hidden)


def of_kind(questions: Sequence[Question], kind: Kind) -> list[Question]:
    """Those of one kind, in order."""
    return [one for one in questions if one.kind is kind]
