"""A question in words -> what the lanes need."""

from nearcode.domain.terms import count_terms
from nearcode.retrieval.files import asked_kinds
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.stems import stem
from nearcode.retrieval.symbols import STOP_WORDS, shape

LONGEST = 4_000
"""Characters of a question that are read: a pasted log says what it has to say at its beginning."""


def read_question(question: str) -> Intent:
    """Reads a question."""
    text = question[:LONGEST]
    looks = shape(text)
    terms = {term: 1.0 for term in count_terms(text) if term not in STOP_WORDS}
    stems: dict[str, str] = {}
    for word in looks.words:
        stems.setdefault(stem(word), word)
    return Intent(
        text=text,
        terms=terms or dict.fromkeys(count_terms(text), 1.0),
        names=looks.names,
        stems=stems,
        paths=looks.paths,
        symbolic=looks.symbolic,
        asked=asked_kinds(frozenset(stems)),
    )
