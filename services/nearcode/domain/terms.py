"""Words of code: identifiers split along camelCase, ACRONYMWord, snake_case and digits, in lower case.

One tokenization serves the lexical lane, the static embedder and the counts that weigh words.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

_IDENTIFIER = re.compile(r"[^\W\d_][\w]*|\d+|_\w+")
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_LONGEST = 64


@lru_cache(maxsize=200_000)
def split_identifier(identifier: str) -> tuple[str, ...]:
    """`getHTTPResponse2` -> get, http, response, 2."""
    return tuple(part.lower() for part in _PARTS.findall(identifier) if len(part) <= _LONGEST)


@lru_cache(maxsize=200_000)
def identifier_terms(identifier: str) -> tuple[str, ...]:
    """The words of an identifier and, when it has several, the whole of it in lower case: exact names then outweigh parts."""
    parts = split_identifier(identifier)
    whole = identifier.lower()
    return parts if len(parts) < 2 or len(whole) > _LONGEST else (*parts, whole)


def identifiers(text: str) -> list[str]:
    """Identifiers and numbers of a text, in order, with repetitions."""
    return _IDENTIFIER.findall(text)


def count_words(text: str) -> Counter[str]:
    """How often each word occurs, identifiers split."""
    words: Counter[str] = Counter()
    for identifier, count in Counter(identifiers(text)).items():
        for word in split_identifier(identifier):
            words[word] += count
    return words


def count_terms(text: str) -> Counter[str]:
    """How often each term occurs: words, and whole identifiers of several words."""
    terms: Counter[str] = Counter()
    for identifier, count in Counter(identifiers(text)).items():
        for term in identifier_terms(identifier):
            terms[term] += count
    return terms


@lru_cache(maxsize=200_000)
def term_id(term: str) -> int:
    """A term's index in sparse vectors and counts: CRC-32 of its UTF-8 (uint32)."""
    return zlib.crc32(term.encode("utf-8", "surrogatepass"))


def term_ids(terms: Iterable[str]) -> list[int]:
    """Ids of terms, in order."""
    return [term_id(term) for term in terms]
