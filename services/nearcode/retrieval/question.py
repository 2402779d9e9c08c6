"""A question in words -> what the lanes need."""

from dataclasses import replace

from nearcode.domain.terms import count_terms
from nearcode.retrieval.files import asked_kinds
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.issue import CODE, TITLE, Issue, as_issue
from nearcode.retrieval.stems import stem
from nearcode.retrieval.symbols import STOP_WORDS, shape

LONGEST = 4_000
"""Characters of a question that are read: a pasted log says what it has to say at its beginning."""


def read_question(question: str) -> Intent:
    """Reads a question, or an issue."""
    issue = as_issue(question)
    return _read_issue(issue) if issue else _read(question[:LONGEST])


def _read_issue(issue: Issue) -> Intent:
    """Words of the title count most and those of code and logs least; only the title can ask for tests or examples, which
    many an issue mentions."""
    whole, title, prose = (_read(text[:LONGEST]) for text in (issue.text, issue.title, issue.prose))
    terms = {term: TITLE if term in title.terms else 1.0 if term in prose.terms else CODE for term in whole.terms}
    emphasis = {stem: TITLE if stem in title.stems else 1.0 if stem in prose.stems else CODE for stem in whole.stems}
    return replace(
        whole,
        terms=terms,
        names=tuple(dict.fromkeys((*title.names, *prose.names, *whole.names))),
        paths=tuple(dict.fromkeys((*whole.paths, *issue.paths))),
        asked=title.asked,
        emphasis=emphasis,
    )


def _read(text: str) -> Intent:
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
