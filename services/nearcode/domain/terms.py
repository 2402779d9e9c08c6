"""Words of code: identifiers split along camelCase, ACRONYMWord, snake_case and digits, in lower case.

One tokenization serves the lexical lane, the static embedder and the counts that weigh words: a text is read once, by
`count_identifiers`; everything else is derived from its distinct identifiers, which are few and repeat from text to text.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from zlib import crc32

_IDENTIFIER = re.compile(r"[^\W\d_][\w]*|\d+|_\w+")
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")
_RUNS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
"""Everything in ASCII that is no part of a word: what is left of a text are runs of letters, digits and underscores."""
_FIRST_LETTER = ":"
"""In ASCII, what sorts before it and is part of a word begins with a digit."""
_LONGEST = 64
LONGEST_IDENTIFIER = 256
"""Characters. What is longer is data (base64, minified tables), never a name that anybody asks for."""


@lru_cache(maxsize=50_000)
def split_identifier(identifier: str) -> tuple[str, ...]:
    """`getHTTPResponse2` -> get, http, response, 2."""
    return split_once(identifier)


def split_once(identifier: str) -> tuple[str, ...]:
    """The same without remembering it: for who remembers by himself."""
    if identifier.isascii() and identifier.isalpha() and identifier.islower():
        return (identifier,) if len(identifier) <= _LONGEST else ()
    pattern = _PARTS if identifier.isascii() else _LETTERS_OR_DIGITS
    spaced = identifier if identifier.isascii() else _spaced(identifier)
    parts = pattern.findall(spaced)
    return tuple(map(str.lower, parts if len(spaced) <= _LONGEST else [part for part in parts if len(part) <= _LONGEST]))


def _spaced(identifier: str) -> str:
    """A space before each capital that follows a small letter, for letters that no character range of `re` tells apart."""
    return identifier[:1] + "".join(f" {b}" if a.islower() and b.isupper() else b for a, b in pairwise(identifier))


@lru_cache(maxsize=50_000)
def identifier_terms(identifier: str) -> tuple[str, ...]:
    """The words of an identifier and, when it has several, the whole of it in lower case: exact names then outweigh parts."""
    return _with_whole(split_identifier(identifier), identifier)


def _with_whole(parts: tuple[str, ...], identifier: str) -> tuple[str, ...]:
    whole = identifier.lower()
    return parts if len(parts) < 2 or len(whole) > _LONGEST else (*parts, whole)


def identifiers(text: str) -> list[str]:
    """Identifiers and numbers of a text, in order, with repetitions."""
    return [found for found in _IDENTIFIER.findall(text) if len(found) <= LONGEST_IDENTIFIER]


def count_identifiers(text: str) -> Counter[str]:
    """How often each identifier or number occurs: the one reading of a text that words and terms are counted from."""
    counts = _count_runs(text) if text.isascii() else None
    if counts is None:
        counts = Counter(_IDENTIFIER.findall(text))
    if counts and max(map(len, counts)) > LONGEST_IDENTIFIER:
        for data in [found for found in counts if len(found) > LONGEST_IDENTIFIER]:
            del counts[data]
    return counts


def _count_runs(text: str) -> Counter[str] | None:
    """The same of an ASCII text in a third of the time, without a regular expression. None where a digit begins a run that is
    not a number (0x1f, 2nd): such runs are several identifiers."""
    counts = Counter(spaced_runs(text).split())
    counts.pop("_", None)
    numbers = [run for run in counts if run < _FIRST_LETTER]
    return None if numbers and not "".join(numbers).isdigit() else counts


def spaced_runs(text: str) -> str:
    """An ASCII text with a space for each character that is no part of a word."""
    return text.translate(_RUNS)


def count_words(text: str) -> Counter[str]:
    """How often each word occurs, identifiers split."""
    words: Counter[str] = Counter()
    for identifier, count in count_identifiers(text).items():
        for word in split_identifier(identifier):
            words[word] += count
    return words


def count_terms(text: str) -> Counter[str]:
    """How often each term occurs: words, and whole identifiers of several words."""
    terms: Counter[str] = Counter()
    for identifier, count in count_identifiers(text).items():
        for term in identifier_terms(identifier):
            terms[term] += count
    return terms


def path_identifiers(path: str) -> list[str]:
    """Identifiers of a file's two parent folders and of its name without the last extension, in order."""
    *folders, name = path.split("/")
    return identifiers("/".join((*folders[-2:], name.rpartition(".")[0] or name)))


def path_words(path: str) -> tuple[str, ...]:
    """The distinct words of a file's two parent folders and of its name without the last extension, in order."""
    return tuple(dict.fromkeys(word for identifier in path_identifiers(path) for word in split_identifier(identifier)))


@lru_cache(maxsize=50_000)
def term_id(term: str) -> int:
    """A term's index in sparse vectors and counts: CRC-32 of its UTF-8 (uint32)."""
    return crc32(term.encode("utf-8", "surrogatepass"))


def term_ids(terms: Iterable[str]) -> list[int]:
    """Ids of terms, in order."""
    return [term_id(term) for term in terms]


def identifier_term_ids(identifier: str) -> list[int]:
    """Ids of an identifier's terms, in the order of `identifier_terms`. Remembers nothing: see `Expansion`."""
    return [crc32(term.encode("utf-8", "surrogatepass")) for term in _with_whole(split_once(identifier), identifier)]
