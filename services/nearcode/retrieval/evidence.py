"""What an answer shows of its own worth: numbers that a calibrated probability is computed from. Pure, and no look at an index.

Every value lies between 0 and about 1, is defined for every answer and does not change with the order of equal candidates.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from nearcode.domain.chunk import Chunk
from nearcode.domain.index import Hit
from nearcode.domain.terms import term_id
from nearcode.retrieval.fusion import Candidate, Lanes
from nearcode.retrieval.idf import Idf
from nearcode.retrieval.intent import Intent
from nearcode.retrieval.stems import held_stems, relatives, stem, text_stems

CHUNKS = 3
"""Best candidates whose words are read."""
FILE_CHUNKS = 5
"""Chunks of the best one's file whose words are read: an answer is often spread over a file."""
NEXT = 10
"""The candidate that a clear winner is compared with."""
SHARPNESS = 3
"""Power of a word's share among the telling words."""
MOST_WORDS = 12
"""Words of a question that are looked for, the most telling first."""
MOST_FILES = math.log(1_000_000)
"""Files in scope on a scale from 0 (one) to 1 (a million): the more code, the more of it is alike by chance."""


def weigh(intent: Intent, idf: Idf, lanes: Lanes, ranked: Sequence[Candidate], attainable: float) -> dict[str, float]:
    """The evidence for an answer; empty for one without candidates. `attainable` as in `fuse`."""
    if not ranked:
        return {}
    best = ranked[0]
    words = question_words(intent, idf)
    chunks = [candidate.hit.chunk for candidate in ranked]
    covers = [chunk_stems(chunk, words) for chunk in chunks[:CHUNKS]]
    file = _file(chunks[0])
    same = [chunk for chunk in chunks[1:] if _file(chunk) == file][: FILE_CHUNKS - 1]
    whole = covers[0].union(*(chunk_stems(chunk, words) for chunk in same))
    rarest = max(words, key=lambda word: (words[word], word), default="")
    telling = _telling(words)
    titles = [title_stems(chunk, words) for chunk in chunks[:CHUNKS]]
    scale = abs(best.score) or 1.0
    return {
        "nearest": max((hit.score for hit in lanes.dense or ()), default=0.0),
        "nearness": _score(best, "dense"),
        "words matched": min(1.0, max((hit.score for hit in lanes.lexical or ()), default=0.0) / attainable),
        "words matched here": min(1.0, _score(best, "lexical") / attainable),
        "unknown words": _unknown(intent, idf, words),
        "covered": max(covered(words, stems) for stems in covers),
        "covered here": covered(words, covers[0]),
        "covered by file": covered(words, whole),
        "rarest word": float(rarest in whole),
        "telling words": covered(telling, covers[0]),
        "telling words by file": covered(telling, whole),
        "named": max(covered(words, stems) for stems in titles),
        "named here": covered(words, titles[0]),
        "vectors stand out": _standing_out(lanes.dense),
        "words stand out": _standing_out(lanes.lexical),
        "same first": float(_first(lanes.dense) == _first(lanes.lexical) != ""),
        "same folder": _together(chunks[:NEXT]),
        "agreement": _agreement(ranked[:CHUNKS]),
        "margin": min(1.0, (best.score - ranked[min(NEXT, len(ranked)) - 1].score) / scale),
        "best score": max(-1.0, min(2.0, best.score)),
        "defined": float("definition" in best.found_by),
        "names undefined": float(bool(intent.names) and not lanes.definition),
        "file again": min(1.0, len(same) / (FILE_CHUNKS - 1)),
        "length": min(1.0, math.log1p(len(intent.stems)) / math.log1p(MOST_WORDS)),
        "symbolic": intent.symbolic,
        "files": min(1.0, math.log(max(1, sum(each.file_count() for each in idf.revisions))) / MOST_FILES),
    }


def question_words(intent: Intent, idf: Idf) -> dict[str, float]:
    """Stems of the question's most telling words, with shares that sum to 1."""
    shares = intent.word_shares(idf) or {stem(term): 1.0 for term in intent.terms}
    kept = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS])
    total = sum(kept.values())
    return {word: share / total for word, share in kept.items()} if total else {}


def chunk_stems(chunk: Chunk, words: Collection[str]) -> frozenset[str]:
    """Those of the words (stems) that a chunk, its path or its scopes hold."""
    return text_stems(chunk.text, words) | held_stems((*chunk.scopes, *chunk.path.split("/")), words)


def covered(words: Mapping[str, float], stems: frozenset[str]) -> float:
    """The share of the question that the stems hold."""
    return sum(share for word, share in words.items() if word in stems)


def title_stems(chunk: Chunk, words: Collection[str]) -> frozenset[str]:
    """Those of the words (stems) in what a chunk is called: the names that it defines, its scopes and its path."""
    return held_stems((*chunk.definitions, *chunk.scopes, *chunk.path.split("/")), words)


def _telling(words: Mapping[str, float]) -> dict[str, float]:
    """The shares, sharpened: what sets a question apart from others counts for nearly all."""
    total = sum(share**SHARPNESS for share in words.values())
    return {word: share**SHARPNESS / total for word, share in words.items()} if total else {}


def _standing_out(hits: Sequence[Hit] | None) -> float:
    """How far a lane's best hit lies before its tenth."""
    scores = sorted((hit.score for hit in hits or ()), reverse=True)[:NEXT]
    return min(1.0, max(0.0, 1.0 - scores[-1] / scores[0])) if scores and scores[0] > 0.0 else 0.0


def _first(hits: Sequence[Hit] | None) -> str:
    return max(hits, key=attrgetter("score", "id")).id if hits else ""


def _together(chunks: Sequence[Chunk]) -> float:
    """The share of the chunks that lie in the first one's folder."""
    folders = [(chunk.repository, chunk.path.rpartition("/")[0]) for chunk in chunks]
    return folders.count(folders[0]) / len(folders)


def _unknown(intent: Intent, idf: Idf, words: Mapping[str, float]) -> float:
    """The share of the question that no file in scope holds, in no form of the word."""
    unknown = 0.0
    for root, share in words.items():
        word = intent.stems.get(root, root)
        if not any(_indexed(each, idf) for each in (word, root)) and not any(_indexed(each, idf) for each in relatives(word)):
            unknown += share
    return unknown


def _indexed(word: str, idf: Idf) -> bool:
    term = term_id(word)
    return any(revision.term_files(term) for revision in idf.revisions)


def _agreement(best: Sequence[Candidate]) -> float:
    """The share of the best candidates that both words and vectors found."""
    return sum("dense" in one.found_by and "lexical" in one.found_by for one in best) / len(best)


def _score(candidate: Candidate, lane: str) -> float:
    find = candidate.found_by.get(lane)
    return find.score if find else 0.0


def _file(chunk: Chunk) -> tuple[str, str]:
    return chunk.repository, chunk.path
