"""Stems: what `routing`, `routes` and `Router` share. Used to compare words and to widen the lexical question."""

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from nearcode.domain.terms import LONGEST_IDENTIFIER, count_identifiers, identifiers, spaced_runs, split_identifier

_SUFFIXES = (
    "izations", "ization", "izers", "izer", "izing", "ized", "izes", "ize",
    "ations", "ation", "ators", "ator", "ating", "ated", "ates", "ate",
    "ities", "ity", "ments", "ment", "ings", "ing", "ions", "ion",
    "ers", "er", "ors", "or", "ies", "ied", "ed", "es", "e", "y", "s",
)  # fmt: skip
_ENDINGS = (
    "", "e", "s", "es", "er", "ers", "or", "ed", "ing", "ion", "ions", "ation", "ator", "ate", "y", "ies", "ize", "izer",
)  # fmt: skip
_BY_LENGTH = [
    (length, frozenset(suffix for suffix in _SUFFIXES if len(suffix) == length))
    for length in sorted(set(map(len, _SUFFIXES)), reverse=True)
]
_SHORTEST = 3
"""Letters a stem keeps: shorter ones join words that have nothing in common."""
_NOT_PLURAL = ("ss", "us", "is")
_PUNCTUATION = ".:/#"


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem of a lower-case word: its longest known suffix and a doubled last consonant cut off."""
    if not word.isalpha() or len(word) <= _SHORTEST or word.endswith(_NOT_PLURAL):
        return word
    for length, suffixes in _BY_LENGTH:
        if word[-length:] in suffixes and len(word) - length >= _SHORTEST:
            return _single(word[:-length])
    return word


def _single(root: str) -> str:
    doubled = len(root) > _SHORTEST and root[-1] == root[-2] and root[-1] not in "aeiouslz"
    return root[:-1] if doubled else root


@lru_cache(maxsize=20_000)
def relatives(word: str) -> tuple[str, ...]:
    """Other words that may share the word's stem; not all of them exist."""
    root = stem(word)
    if not word.isalpha() or len(root) < _SHORTEST:
        return ()
    forms = [root + ending for ending in _ENDINGS]
    if root[-1] not in "aeiou":
        forms += [root + root[-1] + ending for ending in ("er", "ed", "ing")]
    return tuple(form for form in dict.fromkeys(forms) if form != word and stem(form) == root)


def last_name(definition: str) -> str:
    """The name that a definition's full name ends with: `Router.add:` is add, `route::Path` is Path."""
    return definition.rstrip(_PUNCTUATION).rsplit(".", 1)[-1].rsplit("::", 1)[-1]


@lru_cache(maxsize=100_000)
def name_stems(name: str) -> frozenset[str]:
    """Stems of the words of an identifier, a path part or a whole path."""
    return frozenset(map(stem, split_identifier(name)))


def names_with(names: Collection[str], parts: Iterable[str]) -> set[str]:
    """The names that hold one of the parts (in lower case), in any case: few of many, which are then worth splitting."""
    joined = "\n".join(names)
    lowered = joined.lower()
    if len(lowered) != len(joined) or joined.count("\n") >= len(names):  # letters that become two in lower case, broken names
        return {name for part in parts for name in names if part in name.lower()}
    return {name for part in parts for name in _around(joined, lowered, "\n", part)}


def held_stems(names: Collection[str], stems: Collection[str]) -> frozenset[str]:
    """Which of the stems occur among the words of the names. A word begins with its stem."""
    return frozenset(stems) & frozenset().union(*map(name_stems, names_with(names, stems)))


def text_stems(text: str, stems: Collection[str]) -> frozenset[str]:
    """Which of the stems occur among the words of a text's identifiers. Of an ASCII text only those are split that hold one."""
    if not text.isascii():
        return held_stems(count_identifiers(text), stems)
    spaced = spaced_runs(text)
    lowered = spaced.lower()
    return frozenset(each for each in stems if any(each in _run_stems(run) for run in _around(spaced, lowered, " ", each)))


def _around(joined: str, lowered: str, separator: str, part: str) -> Iterator[str]:
    """What lies between separators and holds the part."""
    at = lowered.find(part)
    while part and at >= 0:
        end = joined.find(separator, at)
        end = len(joined) if end < 0 else end
        yield joined[joined.rfind(separator, 0, at) + 1 : end]
        at = lowered.find(part, end)


def _run_stems(run: str) -> frozenset[str]:
    """Of a run of letters, digits and underscores; one that begins with a digit is several identifiers."""
    if run[0].isdigit():
        return frozenset().union(*map(name_stems, identifiers(run)))
    return name_stems(run) if len(run) <= LONGEST_IDENTIFIER else frozenset()
