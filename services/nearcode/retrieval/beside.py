"""What is known of the code at a cursor when names are weighed: which it holds, which stand near, which are its signature's."""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.retrieval import CodeCursor
from nearcode.domain.terms import term_id
from nearcode.retrieval.cursor import COMMON_WORDS
from nearcode.retrieval.names import Hashes, distinct, line_names, name_hashes, rarity, word_hashes

HELD_CHARACTERS = 60_000
"""Characters on each side of the cursor whose names count as known."""
WORD_LINES = 12
"""Lines before the cursor whose words are compared with the names' words."""
NEAR_LINES, NEAR_CHARACTERS = 30, 6_000
"""Lines and characters before the cursor whose names say which candidates are about the same things."""
HALF_LIFE = 8.0
"""Lines before the cursor at which a name of them counts half."""
_FUNCTION = re.compile(
    r"^\s*(?:(?:export|default|public|private|protected|static|async|pub|final|abstract|override|inline|virtual)\s+)*"
    r"(?:def|class|func|function|fn|fun)\b"
)


@dataclass(frozen=True, slots=True)
class Beside:
    """Hashes of names and of words' stems. `near` is sorted; `weights`, shape (near, 2), are shares by nearness and rarity: of
    the lines before the cursor, and of the signature that it stands under. `length` are the characters before it."""

    held: Hashes
    words: Hashes
    signature_words: Hashes
    path_words: Hashes
    near: Hashes
    weights: NDArray[np.float64]
    length: int


def read_beside(cursor: CodeCursor) -> Beside:
    """Reads the code around a cursor."""
    before, after = cursor.prefix[-HELD_CHARACTERS:], cursor.suffix[:HELD_CHARACTERS]
    lines = cursor.prefix[-NEAR_CHARACTERS:].splitlines()[-NEAR_LINES:]
    signature = next((at for at in range(len(lines) - 1, -1, -1) if _FUNCTION.match(lines[at])), len(lines) - 1)
    near, weights = _weigh(lines, signature)
    return Beside(
        distinct(np.concatenate((name_hashes(before + "\n" + after), _common()))),
        word_hashes("\n".join(before.splitlines()[-WORD_LINES:])),
        word_hashes("\n".join(lines[max(0, signature) :])),
        word_hashes(cursor.path.replace("/", " ")),
        near,
        weights,
        len(cursor.prefix),
    )


def _weigh(lines: list[str], signature: int) -> tuple[Hashes, NDArray[np.float64]]:
    """Sorted hashes of the lines' names, and their two shares."""
    found: dict[str, tuple[float, float]] = {}
    for at, line in enumerate(lines):
        nearness = 0.5 ** ((len(lines) - 1 - at) / HALF_LIFE)
        for name in line_names(line):
            rare = rarity(name)
            close, signed = found.get(name, (0.0, 0.0))
            found[name] = max(close, rare * nearness), max(signed, rare * (at >= signature))
    hashes = np.fromiter(map(term_id, found), np.uint32, len(found))
    order = np.argsort(hashes)
    weights = np.array(list(found.values()), np.float64).reshape(-1, 2)[order]
    return hashes[order], weights / np.maximum(weights.sum(axis=0), 1e-9)


@lru_cache(maxsize=1)
def _common() -> Hashes:
    """Words of languages: nobody needs to be told them."""
    return np.unique(np.fromiter(map(term_id, COMMON_WORDS), np.uint32, len(COMMON_WORDS)))
