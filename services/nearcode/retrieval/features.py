"""What is known of each candidate for a question in words: the numbers that the ranker weighs.

Pure, and no look at an index. Every number lies between 0 and about 1, so that weights can be compared.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.chunk import Chunk
from nearcode.retrieval.fusion import CHAT_FLOOR, Candidate, ChatLane, Lanes
from nearcode.retrieval.reading import DEFINED, PLACED, Held, Reading

LONG = math.log1p(400)
"""Logarithm of the lines at which a chunk's length counts 1."""
MANY = math.log1p(10)
"""Logarithm of the candidates of one file at which it counts 1."""

FEATURES = (
    "dense", "dense above the last", "dense rank", "lexical", "lexical for symbols", "lexical above the last", "both lanes",
    "definition lane", "chat", "chat above the last", "chat rank", "words in text", "words in header", "words in file",
    "file found again", "best dense of file", "best lexical of file", "best defines words of file",
    "long", "class", "function", *DEFINED, "defines asked name for symbols", "defines words for symbols",
    "best dense of repository", "best lexical of repository", "words in repository", "repository found again", *PLACED,
    "central",
)  # fmt: skip
"""Every feature's name. Those of the chat lane are there if it answered."""


def features(candidates: Sequence[Candidate], lanes: Lanes, reading: Reading) -> dict[str, NDArray[np.float64]]:
    """By name, shape (candidates,). Empty where there are no candidates."""
    if not candidates:
        return {}
    hits = [candidate.hit for candidate in candidates]
    chunks = [hit.chunk for hit in hits]
    paths = [(chunk.repository, chunk.path) for chunk in chunks]
    file = numbered(paths)
    held, asked = reading.held(hits), reading.asked
    found = _lanes(candidates, lanes, asked.intent.symbolic)
    found |= _texts(chunks, held, asked.words, file)
    found |= _columns(DEFINED, [each.defined for each in held])
    placed = [reading.placed(path) for _, path in dict.fromkeys(paths)]  # in the order of their numbers
    found |= {name: column[file] for name, column in _columns(PLACED, placed).items()}
    found["defines asked name for symbols"] = found["defines asked name"] * asked.intent.symbolic
    found["defines words for symbols"] = found["defines words"] * asked.intent.symbolic
    for name in ("dense", "lexical", "defines words"):
        found[f"best {name} of file"] = _best_of(found[name], file)
    found |= _repositories(chunks, found)
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
    found = [candidate.found_by.get(lane) for candidate in candidates]
    return np.array([each.score if each and each.score > 0.0 else 0.0 for each in found], np.float64)


def _ranks(candidates: Sequence[Candidate], lane: str) -> NDArray[np.float64]:
    found = [candidate.found_by.get(lane) for candidate in candidates]
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


def _texts(
    chunks: Sequence[Chunk], held: Sequence[Held], words: Mapping[str, float], file: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """How much of the question a chunk, its header and all that was found of its file hold; how long it is."""
    shape, shares = (len(chunks), len(words)), np.array(list(words.values()))
    text = np.array([each.text for each in held], bool).reshape(shape)
    header = np.array([each.header for each in held], bool).reshape(shape)
    by_file = np.zeros((int(file.max()) + 1, len(words)), bool)
    np.logical_or.at(by_file, file, text)
    lines = np.array([chunk.end_line - chunk.start_line + 1 for chunk in chunks])
    return {
        "words in text": text @ shares,
        "words in header": header @ shares,
        "words in file": (by_file @ shares)[file],
        "file found again": np.minimum(1.0, np.log(np.bincount(file)) / MANY)[file],
        "long": np.minimum(1.0, np.log1p(lines) / LONG),
        "class": np.array([float(chunk.kind == "class") for chunk in chunks]),
        "function": np.array([float(chunk.kind == "function") for chunk in chunks]),
    }


def _repositories(chunks: Sequence[Chunk], found: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
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
