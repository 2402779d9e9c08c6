"""What the lanes and the ranking need to know of a question, whether it was words or a cursor."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nearcode.domain.terms import term_id
from nearcode.retrieval.idf import Idf
from nearcode.retrieval.imports import Imports

LATER_NAME = 0.7
"""Each further name asked for (`Router.add`: add, then Router) counts that much less."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The file under the cursor, and what it imports."""

    path: str
    imports: Imports


@dataclass(frozen=True, slots=True)
class Intent:
    """A question as lanes read it.

    `text` is embedded; `terms` are lexical terms with their weight before idf; `names` may be defined somewhere;
    `stems` stand for the words that count, with one of the words for its weight; `paths` were named; `symbolic` says how
    much of the question is code (0 to 1); `asked` names the kinds of files it asks for, which are else ranked lower;
    `emphasis` says how much more or less than others a stem counts, and is there for issues only.
    """

    text: str
    terms: Mapping[str, float]
    names: tuple[str, ...] = ()
    stems: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    symbolic: float = 0.0
    asked: frozenset[str] = frozenset()
    edited: Edited | None = None
    emphasis: Mapping[str, float] = field(default_factory=dict)

    @property
    def issue(self) -> bool:
        """Whether the question is an issue."""
        return bool(self.emphasis)

    def name_weights(self) -> dict[str, float]:
        """How much each name counts, in lower case."""
        return {name.lower(): LATER_NAME**place for place, name in reversed(list(enumerate(self.names)))}

    def word_shares(self, idf: Idf) -> dict[str, float]:
        """How much of the question each stem is: shares of idf that sum to 1."""
        weights = {stem: idf.weight(term_id(word)) * self.emphasis.get(stem, 1.0) for stem, word in self.stems.items()}
        total = sum(weights.values())
        return {stem: weight / total for stem, weight in weights.items()} if total else {}
