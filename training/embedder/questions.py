"""Questions to held-out packages, to choose steps and constants by: what a module or class says of itself, and what documents
say of the definitions that they name; each is answered by one file.

A file's own words that ask are taken out of it. The packages are in neither the training data nor any benchmark.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nearcode.chunking.grammars import grammar_for
from nearcode.chunking.outline import outline
from nearcode.chunking.structure import TooComplex, structure
from nearcode.domain.languages import language_of
from nearcode.domain.terms import count_words
from nearcode.events.cutting import cut

from training.embedder.denylist import DenyList
from training.embedder.pairs import _QUOTED, guide_paragraphs, said_words, sources

HELD_OUT = 20
"""Of 256 packages."""
_MOST_FILES, _LEAST_FILES, _MOST_GUIDES = 250, 12, 40
_GUIDES = frozenset({".md", ".rst", ".markdown", ".mdx"})


def held_out(name: str) -> bool:
    """Whether a package is kept from training."""
    return hashlib.sha256(f"held out {name}".encode()).digest()[0] < HELD_OUT


@dataclass(frozen=True, slots=True)
class Asked:
    """A package cut into chunks (counted words, by path), and words of questions with the path that answers each."""

    files: dict[str, list[Counter[str]]]
    questions: list[tuple[str, Counter[str], str]]


def ask(folder: Path, deny: DenyList) -> Asked | None:
    """The questions to a package, or None when it is too small to be asked."""
    paths = [path for path in sources(folder, deny) if not deny.text(path.read_text("utf-8", "replace"))][:_MOST_FILES]
    files: dict[str, list[Counter[str]]] = {}
    questions: list[tuple[str, Counter[str], str]] = []
    defined: dict[str, set[str]] = {}
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        source = path.read_bytes()
        said, source = _take_documentation(path.name, source)
        found = outline(relative, source)
        found.file.path = relative
        chunks = cut("", found, source)
        if not chunks:
            continue
        files[relative] = [count_words("\n".join((*chunk.scopes, chunk.text))) for chunk in chunks]
        for name in {name for chunk in chunks for name in chunk.definitions}:
            defined.setdefault(name, set()).add(relative)
        if said and not re.search(r"(^|/)(tests?|examples?)(/|$)", relative):
            questions.append(("documentation", said, relative))
    if len(files) < _LEAST_FILES:
        return None
    guides = list(_guide_questions(folder, {name: min(at) for name, at in defined.items() if len(at) == 1}))
    guides.sort(key=lambda each: hashlib.sha256(repr(sorted(each[1])).encode()).digest())
    return Asked(files, questions[:_MOST_GUIDES] + guides[:_MOST_GUIDES])


def _take_documentation(name: str, source: bytes) -> tuple[Counter[str] | None, bytes]:
    """The longest documentation of a file's outermost definitions, and the file without it."""
    language = language_of(name, b"")
    if language is None:
        return None, source
    try:
        found = structure(grammar_for(language.grammar, source), source)
    except TooComplex:
        return None, source
    spans = [each.docstring for each in found.roots if each.docstring]
    longest = max(spans, key=lambda span: span[1] - span[0], default=None)
    if longest is None:
        return None, source
    start, end = longest
    words = said_words(source[start:end].decode("utf-8", "replace"))
    blank = re.sub(rb"[^\n]", b" ", source[start:end])
    return (Counter(words), source[:start] + blank + source[end:]) if len(words) >= 5 else (None, source)


def _guide_questions(folder: Path, places: Mapping[str, str]) -> list[tuple[str, Counter[str], str]]:
    """Sentences that quote a name which one file defines; every other one without the name."""
    found: list[tuple[str, Counter[str], str]] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _GUIDES or not path.is_file() or path.stat().st_size > 150_000:
            continue
        for paragraph in guide_paragraphs(path.read_text("utf-8", "replace")):
            for sentence in re.split(r"(?<=[.!?])\s+", paragraph):
                names = [quoted.replace("::", ".").split(".")[-1] for quoted in _QUOTED.findall(sentence)]
                answers = {places[name] for name in names if name in places}
                text = sentence if len(found) % 2 else _QUOTED.sub(" ", sentence)
                words = count_words(text)
                if len(answers) == 1 and 4 <= len(words) <= 40:
                    found.append(("guide", Counter(dict.fromkeys(words, 1)), answers.pop()))
    return found
