"""What a candidate's text holds, name by name and line by line, as arrays: what a cursor's context is chosen from.

Names are 32-bit hashes (domain/terms.py), so that all candidates of a question are joined by numpy alone. A text is read once
and remembered: the chunks around a cursor are the same from key to key.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.terms import split_identifier, term_id
from nearcode.retrieval.idf import load_prior
from nearcode.retrieval.stems import stem

Hashes = NDArray[np.uint32]
Floats = NDArray[np.float32]

WORDS = 4
"""Words of a name that are compared with the words near the cursor; longer names are told by fewer."""
REMEMBERED = 8_192
"""Texts whose names are kept, about 5 KB each."""
_NAME = re.compile(r"[^\W\d]\w+")
_PROSE = re.compile(r"""^\s*(#|//|\*|/\*|\"\"\"|''')|^[^=(){}\[\].]*[a-z]+ [a-z]+ [a-z]+ [^=(){}\[\]]*$""")
_TOKEN_PARTS = (
    (re.compile(r"[A-Za-z]+"), 1.06),
    (re.compile(r"\d"), 1.31),
    (re.compile(r"[^\w\s]"), 0.77),
    (re.compile(r"_"), 0.76),
    (re.compile(r"[a-z][A-Z]"), 1.64),
)
_LINE_TOKENS = 1.14
_SURPLUS = 1.165
"""Tokens of a line by what it holds, for SmolLM2's tokenizer: least squares over 400 pieces of public packages in six
languages; on 400 others the sum is 99.3 % of the true one. The surplus keeps the sum of ten spans below its budget: a budget is
a promise, and texts full of numbers or docstrings take up to 16 % more than lines like theirs do on average."""


@dataclass(frozen=True, slots=True)
class Names:
    """A text's distinct names, sorted by hash: `facts` (names, 10) are what is known of each beside its context.

    `lines` and `places` are its occurrences: line number from 0 and index into `hashes`. `before` is the hash of the name
    before the dot at each occurrence, or 0. `costs` are tokens a line.
    """

    hashes: Hashes
    facts: Floats
    words: Hashes
    lines: NDArray[np.int32]
    places: NDArray[np.int32]
    before: Hashes
    costs: Floats


@lru_cache(maxsize=100_000)
def _facts(name: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Rarity in public code (0 common, 1 unseen), spelling, and hashes of its words' stems."""
    prior = load_prior()
    rarity = -float(np.log2(prior.share(term_id(name.lower())))) / 16.0
    words = [term_id(stem(word)) for word in split_identifier(name)[:WORDS]]
    spelled = (float(name.isupper()), float(name[0].isupper()), float("_" in name), len(name) / 10.0)
    return (rarity, rarity * rarity, *spelled), tuple(words + [0] * (WORDS - len(words)))


def names_in(text: str) -> set[str]:
    """The names of a text."""
    return set(_NAME.findall(text))


def rarity(name: str) -> float:
    """How rare a name is in public code: 0 common, 1 unseen."""
    return max(0.0, _facts(name)[0][0])


def name_hashes(text: str) -> Hashes:
    """Sorted hashes of the names of a text."""
    return np.unique(np.fromiter((term_id(name) for name in names_in(text)), np.uint32))


def word_hashes(text: str) -> Hashes:
    """Hashes of the stems of the words of a text's names."""
    words = {stem(word) for name in names_in(text) for word in split_identifier(name)}
    return np.fromiter(map(term_id, words), np.uint32, len(words))


@lru_cache(maxsize=REMEMBERED)
def read_names(text: str) -> Names:
    """Reads a text."""
    found: dict[str, int] = {}
    rows: list[tuple[int, int, int]] = []
    uses: list[tuple[int, int, int, int]] = []
    costs = []
    for number, line in enumerate(text.split("\n")):
        prose = 1 if _PROSE.match(line) else 0
        for match in _NAME.finditer(line):
            place = found.setdefault(match.group(), len(found))
            start, end = match.span()
            dotted, called = line[start - 1 : start] == ".", line[end : end + 1] == "("
            owner = re.search(r"(\w+)\.$", line[:start]) if dotted else None
            rows.append((number, place, term_id(owner.group(1)) if owner else 0))
            uses.append((place, dotted, called, prose))
        costs.append(line_tokens(line))
    return _arrays(found, rows, uses, costs)


def line_tokens(line: str) -> float:
    """About how many tokens a line takes, a little too many; never fewer than a token for six characters."""
    told = _LINE_TOKENS + sum(weight * len(part.findall(line)) for part, weight in _TOKEN_PARTS)
    return max(_SURPLUS * told, len(line) / 6.0)


def _arrays(
    found: dict[str, int], rows: list[tuple[int, int, int]], uses: list[tuple[int, int, int, int]], costs: list[float]
) -> Names:
    known = [_facts(name) for name in found]
    hashes = np.fromiter((term_id(name) for name in found), np.uint32, len(found))
    counts = np.zeros((len(found), 4), np.float32)
    if uses:
        each = np.array(uses, np.int32)
        np.add.at(counts, each[:, 0], np.concatenate([np.ones((len(each), 1)), each[:, 1:]], axis=1))
    facts = np.concatenate([np.array([row for row, _ in known], np.float32).reshape(-1, 6), counts], axis=1)
    placed = np.array(rows, np.int64).reshape(-1, 3)
    return Names(
        hashes,
        facts,
        np.array([words for _, words in known], np.uint32).reshape(-1, WORDS),
        placed[:, 0].astype(np.int32),
        placed[:, 1].astype(np.int32),
        placed[:, 2].astype(np.uint32),
        np.array(costs, np.float32),
    )
