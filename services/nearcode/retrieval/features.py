"""What is known of each candidate for a question in words: the numbers that the ranker weighs.

Pure, and no look at an index. Every number lies between 0 and about 1, so that weights can be compared.
"""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.chunk import Chunk
from nearcode.domain.terms import identifiers, split_identifier
from nearcode.retrieval.files import KINDS, file_facts
from nearcode.retrieval.fusion import CHAT_FLOOR, Candidate, ChatLane, Lanes
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.stems import last_name, name_stems, names_with, stem

LONG = math.log1p(400)
"""Logarithm of the lines at which a chunk's length counts 1."""
MANY = math.log1p(10)
"""Logarithm of the candidates of one file at which it counts 1."""
DEEP = 8
"""Folders above a file at which its depth counts 1."""
_NO_KINDS = (0.0,) * len(KINDS)

DEFINED = ("defines asked name", "defines words", "defines words in a row", "scope name")
"""Features of what a chunk defines."""
PLACED = ("file name", "whole file name", "folder name", "named path", "depth", *(f"{kind} file" for kind in KINDS))
"""Features of a chunk's path."""

FEATURES = (
    "dense", "dense above the last", "dense rank", "lexical", "lexical for symbols", "lexical above the last", "both lanes",
    "definition lane", "chat", "chat above the last", "chat rank", "words in text", "words in header", "words in file",
    "file found again", "best dense of file", "best lexical of file", "best defines words of file",
    "long", "class", "function", *DEFINED, "defines asked name for symbols", "defines words for symbols",
    "best dense of repository", "best lexical of repository", "words in repository", "repository found again", *PLACED,
    "central",
)  # fmt: skip
"""Every feature's name. Those of the chat lane are there if it answered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as features need it: shares of its stems, weights of its names, pairs of neighboring stems, and what any
    definition holds that has one of its names or stems."""

    intent: Intent
    words: Mapping[str, float]
    names: Mapping[str, float]
    pairs: frozenset[tuple[str, str]]
    sought: tuple[str, ...]

    @classmethod
    def read(cls, intent: Intent, words: Mapping[str, float]) -> "Asked":
        """`words` are the question's stems with their shares (summing to 1)."""
        stems = [stem(word) for name in identifiers(intent.text) for word in split_identifier(name)]
        names = intent.name_weights()
        return cls(intent, words, names, frozenset(pairwise(stems)), tuple(dict.fromkeys((*words, *names))))


def features(candidates: Sequence[Candidate], lanes: Lanes, asked: Asked) -> dict[str, NDArray[np.float64]]:
    """By name, shape (candidates,). Empty where there are no candidates."""
    if not candidates:
        return {}
    chunks = [candidate.hit.chunk for candidate in candidates]
    file = numbered((chunk.repository, chunk.path) for chunk in chunks)
    found = _lanes(candidates, lanes, asked.intent.symbolic)
    found |= _texts(chunks, asked.words, file)
    found |= _columns(DEFINED, _definitions(chunks, asked))
    paths = dict.fromkeys((chunk.repository, chunk.path) for chunk in chunks)  # in the order of their numbers
    found |= {name: column[file] for name, column in _columns(PLACED, [_path(path, asked) for _, path in paths]).items()}
    found["defines asked name for symbols"] = found["defines asked name"] * asked.intent.symbolic
    found["defines words for symbols"] = found["defines words"] * asked.intent.symbolic
    for name in ("dense", "lexical", "defines words"):
        found[f"best {name} of file"] = _best_of(found[name], file)
    found |= _repositories(chunks, asked.words, found)
    found["central"] = np.array([candidate.signals.central for candidate in candidates], np.float64)
    return found


def _columns(names: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, NDArray[np.float64]]:
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))


def _lanes(candidates: Sequence[Candidate], lanes: Lanes, symbolic: float) -> dict[str, NDArray[np.float64]]:
    """What the lanes say: scores as shares of their best, and where between their best and their last they lie."""
    dense, lexical = (_scores(candidates, name) for name in ("dense", "lexical"))
    share, words = _share(dense), _share(lexical)
    found = {
        "dense": share,
        "dense above the last": _spread(dense),
        "dense rank": _ranks(candidates, "dense"),
        "lexical": words,
        "lexical for symbols": words * symbolic,
        "lexical above the last": _spread(lexical),
        "both lanes": share * words,
        "definition lane": (_scores(candidates, "definition") > 0.0).astype(np.float64),
    }
    if lanes.chat:
        chat = _chat(candidates, lanes.chat, share)
        found |= {"chat": _share(chat), "chat above the last": _spread(chat), "chat rank": _ranks(candidates, "chat")}
    return found


def _chat(candidates: Sequence[Candidate], lane: ChatLane, static: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transformer's scores above its floor. Where its space is not filled yet the static model speaks for it: else what is
    filled would win by that alone."""
    scores = _scores(candidates, "chat")
    held = scores[scores > 0.0]
    scores = np.maximum(0.0, scores - (CHAT_FLOOR * held.min() if len(held) else 0.0))
    filled = np.array([candidate.hit.chunk.repository in lane.whole for candidate in candidates], bool)
    return np.where(filled | (scores > 0.0), scores, static * scores.max(initial=0.0))


def _scores(candidates: Sequence[Candidate], lane: str) -> NDArray[np.float64]:
    found = (candidate.found_by.get(lane) for candidate in candidates)
    return np.array([max(0.0, each.score) if each else 0.0 for each in found], np.float64)


def _ranks(candidates: Sequence[Candidate], lane: str) -> NDArray[np.float64]:
    found = (candidate.found_by.get(lane) for candidate in candidates)
    return np.array([1.0 / each.rank if each else 0.0 for each in found], np.float64)


def _share(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    best = float(scores.max(initial=0.0))
    shares: NDArray[np.float64] = scores / (best or 1.0)
    return shares


def _spread(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 for the lane's last hit and what it did not find, 1 for its best."""
    held = scores[scores > 0.0]
    if not len(held) or held.max() == held.min():
        return (scores > 0.0).astype(np.float64)
    spread: NDArray[np.float64] = np.clip((scores - held.min()) / (held.max() - held.min()), 0.0, 1.0)
    return spread


def numbered(keys: Iterable[Hashable]) -> NDArray[np.int64]:
    """A number for each key, from 0 in the order in which they come; equal keys have one number."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _best_of(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the best chunk of each chunk's group (a file, a repository) has, shape (chunks,): one chunk may hold the words and
    another the name."""
    best = np.zeros(int(group.max()) + 1)
    np.maximum.at(best, group, values)
    return best[group]


def _texts(chunks: Sequence[Chunk], words: Mapping[str, float], file: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """How much of the question a chunk, its header and all that was found of its file hold; how long it is."""
    stems = list(words)
    shares = np.array([words[each] for each in stems])
    texts = [chunk.text.lower() for chunk in chunks]
    held = _held(texts, stems)
    by_file = np.zeros((int(file.max()) + 1, len(stems)), bool)
    np.logical_or.at(by_file, file, held)
    lines = np.array([chunk.end_line - chunk.start_line + 1 for chunk in chunks])
    return {
        "words in text": held @ shares,
        "words in header": _held([chunk.header.lower() for chunk in chunks], stems) @ shares,
        "words in file": (by_file @ shares)[file],
        "file found again": np.minimum(1.0, np.log(np.bincount(file)) / MANY)[file],
        "long": np.minimum(1.0, np.log1p(lines) / LONG),
        "class": np.array([float(chunk.kind == "class") for chunk in chunks]),
        "function": np.array([float(chunk.kind == "function") for chunk in chunks]),
    }


def _repositories(
    chunks: Sequence[Chunk], words: Mapping[str, float], found: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """How well the repository of each chunk fits the question as a whole. All 0 where only one was found: it tells nothing."""
    names = ("best dense of repository", "best lexical of repository", "words in repository", "repository found again")
    of = numbered(chunk.repository for chunk in chunks)
    if not of.any():
        return {name: np.zeros(len(chunks)) for name in names}
    again = np.bincount(of, found["dense above the last"] + found["lexical above the last"])
    values = (
        _best_of(found["dense"], of),
        _best_of(found["lexical"], of),
        _best_of(found["words in file"], of),
        (again / (again.max() or 1.0))[of],
    )
    return dict(zip(names, values, strict=True))


def _held(texts: Sequence[str], stems: Sequence[str]) -> NDArray[np.bool_]:
    """Which text holds which stem, as a part of a word too; shape (texts, stems)."""
    return np.array([[each in text for each in stems] for text in texts], bool).reshape(len(texts), len(stems))


@dataclass(frozen=True, slots=True)
class _Defined:
    """What is compared of a name: its last part, that in lower case, and its stems."""

    last: str
    name: str
    stems: frozenset[str]


@lru_cache(maxsize=20_000)
def _defined(definition: str) -> _Defined:
    last = last_name(definition)
    return _Defined(last, last.lower(), name_stems(last))


def _definitions(chunks: Sequence[Chunk], asked: Asked) -> list[tuple[float, float, float, float]]:
    """DEFINED of each chunk: how well what it defines is what was asked for, by its name, by the words of it, by two words in a
    row; how well its scopes are."""
    names = {name for chunk in chunks for name in chunk.definitions}
    telling = names_with(names | {scope for chunk in chunks for scope in chunk.scopes}, asked.sought)
    fits = {name: _fit(name, asked) for name in telling & names}
    scopes = {scopes: _scoped(scopes, telling, asked) for scopes in {chunk.scopes for chunk in chunks}}
    return [(*_best_fit(chunk.definitions, fits), scopes[chunk.scopes]) for chunk in chunks]


_Fit = tuple[float, float, float]
_NO_FIT = (0.0, 0.0, 0.0)


def _fit(definition: str, asked: Asked) -> _Fit:
    """How well one name is what was asked for."""
    defined = _defined(definition)
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
    """PLACED of a file: how well its path is what was asked for, and which kinds of file it is that were not asked for."""
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
