"""What chunks hold of a question in words: looked for once in each, as soon as a lane has found it.

Most of what ranking takes is this, and half of the candidates are there while the index still looks for the others.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from nearcode.domain.chunk import Chunk
from nearcode.domain.index import Hit
from nearcode.domain.terms import identifiers, split_identifier
from nearcode.retrieval.files import KINDS, file_facts
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.stems import last_name, name_stems, names_with, stem

DEEP = 8
"""Folders above a file at which its depth counts 1."""
_NO_KINDS = (0.0,) * len(KINDS)

DEFINED = ("defines asked name", "defines words", "defines words in a row", "scope name")
"""What is read of the names that a chunk defines, and of those around it."""
PLACED = ("file name", "whole file name", "folder name", "named path", "depth", *(f"{kind} file" for kind in KINDS))
"""What is read of a path."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is looked for: shares of its stems (summing to 1), weights of its names, pairs of neighboring stems, and
    what any definition holds that has one of its names or stems."""

    intent: Intent
    words: Mapping[str, float]
    names: Mapping[str, float]
    pairs: frozenset[tuple[str, str]]
    sought: tuple[str, ...]

    @classmethod
    def read(cls, intent: Intent, words: Mapping[str, float]) -> "Asked":
        """What an intent asks for. `words` are its stems with their shares."""
        stems = [stem(word) for name in identifiers(intent.text) for word in split_identifier(name)]
        names = intent.name_weights()
        return cls(intent, words, names, frozenset(pairwise(stems)), tuple(dict.fromkeys((*words, *names))))


class Held(NamedTuple):
    """What a chunk holds: which of the question's stems, as a part of a word too, in its text and in its header; DEFINED."""

    text: list[bool]
    header: list[bool]
    defined: tuple[float, ...]


@dataclass(slots=True)
class Reading:
    """A question, and what the chunks and paths that were read so far hold of it."""

    asked: Asked
    _held: dict[str, Held] = field(default_factory=dict)
    _fits: dict[str, "_Fit"] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _telling: set[str] = field(default_factory=set)
    _scopes: dict[tuple[str, ...], float] = field(default_factory=dict)
    _placed: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def read(self, hits: Sequence[Hit]) -> None:
        """Looks into those that were not read yet."""
        new = [hit for hit in hits if hit.id not in self._held]
        if not new:
            return
        chunks, stems = [hit.chunk for hit in new], list(self.asked.words)
        self._read_names(chunks)
        for hit in new:
            chunk = hit.chunk
            text, header = chunk.text.lower(), chunk.header.lower()
            if (scope := self._scopes.get(chunk.scopes)) is None:
                scope = self._scopes[chunk.scopes] = _scoped(chunk.scopes, self._telling, self.asked)
            defined = (*_best_fit(chunk.definitions, self._fits), scope)
            self._held[hit.id] = Held([each in text for each in stems], [each in header for each in stems], defined)
            self.placed(chunk.path)

    def held(self, hits: Sequence[Hit]) -> list[Held]:
        """What each holds."""
        self.read(hits)
        return [self._held[hit.id] for hit in hits]

    def placed(self, path: str) -> tuple[float, ...]:
        """PLACED of a file."""
        if (placed := self._placed.get(path)) is None:
            placed = self._placed[path] = _path(path, self.asked)
        return placed

    def _read_names(self, chunks: Iterable[Chunk]) -> None:
        """How well each name is what was asked for. Few of many hold any of it: only these are split into words."""
        defined = {name for chunk in chunks for name in chunk.definitions}
        new = (defined | {scope for chunk in chunks for scope in chunk.scopes}) - self._names
        telling = names_with(new, self.asked.sought)
        self._names |= new
        self._telling |= telling
        for name in defined & self._telling:
            if name not in self._fits:
                self._fits[name] = _fit(name, self.asked)


@dataclass(frozen=True, slots=True)
class _Name:
    """What is compared of a name: its last part, that in lower case, and its stems."""

    last: str
    name: str
    stems: frozenset[str]


@lru_cache(maxsize=20_000)
def _name(definition: str) -> _Name:
    last = last_name(definition)
    return _Name(last, last.lower(), name_stems(last))


_Fit = tuple[float, float, float]
_NO_FIT = (0.0, 0.0, 0.0)


def _fit(definition: str, asked: Asked) -> _Fit:
    """How well one name is what was asked for: by itself, by the words of it, by two words in a row."""
    defined = _name(definition)
    name, words, pairs = asked.names.get(defined.name, 0.0), 0.0, 0.0
    if shared := defined.stems & asked.words.keys():
        words = sum(asked.words[each] for each in shared) * len(shared) / len(defined.stems)
        if asked.pairs and len(shared) > 1:
            pairs = len(_pairs(defined.last) & asked.pairs) / len(asked.pairs)
    return name, words, pairs


def _best_fit(definitions: Sequence[str], fits: Mapping[str, _Fit]) -> _Fit:
    found = [fits[name] for name in definitions if name in fits]
    if len(found) < 2:
        return found[0] if found else _NO_FIT
    name, words, pairs = (max(column) for column in zip(*found, strict=True))
    return name, words, pairs


def _scoped(scopes: Sequence[str], telling: Collection[str], asked: Asked) -> float:
    """How much of the question the names of scopes hold."""
    held: set[str] = set().union(*(name_stems(scope) for scope in scopes if scope in telling))
    return _sum(asked.words, held & asked.words.keys()) if held else 0.0


def _pairs(name: str) -> set[tuple[str, str]]:
    """Pairs of neighboring stems."""
    return set(pairwise(map(stem, split_identifier(name))))


def _path(path: str, asked: Asked) -> tuple[float, ...]:
    """How well a path is what was asked for, and which kinds of file it is that were not asked for."""
    facts = file_facts(path)
    stems = asked.words.keys()
    shared = facts.name & stems
    of_name = _sum(asked.words, shared) if shared else 0.0
    folders = facts.folders & stems
    kinds = facts.kinds - asked.intent.asked
    return (
        of_name * len(shared) / max(1, len(facts.name)),
        of_name * (len(shared) == len(facts.name)),
        _sum(asked.words, folders - shared) if folders else 0.0,
        float(any(path.endswith(each) for each in asked.intent.paths)) if asked.intent.paths else 0.0,
        min(1.0, path.count("/") / DEEP),
        *([float(kind in kinds) for kind in KINDS] if kinds else _NO_KINDS),
    )


def _sum(words: Mapping[str, float], stems: Iterable[str]) -> float:
    return sum(words[each] for each in sorted(stems))
