"""Public packages to ask about: which, and their sources with the documentation that is asked taken out."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nearcode.chunking.outline import outline
from nearcode.domain.languages import language_of
from nearcode.domain.terms import identifiers, split_identifier
from nearcode.evaluation.documentation import hide
from nearcode.evaluation.question import Kind, Question, code_cursor
from nearcode.evaluation.questions import from_sources
from nearcode.evaluation.source import SourceFile, definitions, outlined, questionable
from nearcode.retrieval.symbols import STOP_WORDS

SEED = 20261121
SHARES = {"pypi": 20, "go": 10, "crates": 8, "npm": 8, "maven": 6, "debian": 6}
"""Packages by registry: about the languages that people ask in."""
FEWEST_FILES, MOST_FILES = 8, 250
LARGEST_FILE = 300_000
"""Bytes. Larger ones are data."""
QUESTIONS = 18
"""Questions in words a package, and as many names."""
PLACES = 40
"""Places in code a package: of 500 answers in all, ten bins alone show an error of .05 where there is none."""
FEWEST_NAME = 5
"""Letters of a name that is asked for: shorter ones are everywhere."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in words, or a cursor (path, code before, code after), of a package, and what answers it: files, or `names`
    that a snippet shows. `name`: the definition that is asked for, if it is asked for by name."""

    package: str
    kind: str
    text: str = ""
    cursor: tuple[str, str, str] | None = None
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    name: str = ""


@dataclass(slots=True)
class Package:
    """A package with its questions; `words` are all that it holds, to tell what it cannot be asked about."""

    name: str
    files: dict[str, bytes]
    questions: list[Asked] = field(default_factory=list)
    words: frozenset[str] = frozenset()


def chosen(index: Path, deny: frozenset[str], shares: Mapping[str, int]) -> list[Package]:
    """Packages in an order that depends on their names alone, as many a registry as `shares` says."""
    listed = sorted(json.loads(index.read_text()), key=lambda one: digest(str(SEED), one["registry"], one["name"]))
    packages: list[Package] = []
    for registry, count in shares.items():
        taken = 0
        for one in listed:
            if taken == count:
                break
            if one["registry"] != registry or denied(one["name"], deny) or denied(one["repository"], deny):
                continue
            files = sources(Path(one["path"]))
            if FEWEST_FILES <= len(files) <= MOST_FILES:
                package = with_questions(Package(f"{registry}-{Path(one['path']).name}", files))
                if len(package.questions) >= QUESTIONS:
                    packages.append(package)
                    taken += 1
    return packages


def denied(name: str, deny: frozenset[str]) -> bool:
    """Whether any end of a name, as `owner/name` or `name`, is denied."""
    parts = name.lower().removesuffix(".git").strip("/").split("/")
    return any(hashlib.sha256("/".join(parts[-n:]).encode()).hexdigest()[:24] in deny for n in (1, 2))


def digest(*parts: str) -> str:
    """What orders a draw."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def sources(root: Path) -> dict[str, bytes]:
    """The files that the engine would index, by path; at most one more than is allowed."""
    files: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        if language_of(path.name) and path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST_FILE:
            files[path.relative_to(root).as_posix()] = path.read_bytes()
            if len(files) > MOST_FILES:
                break
    return files


def with_questions(package: Package) -> Package:
    """Makes the questions, and blanks the documentation that they quote."""
    read = list(outlined(package.files, outline))
    made = from_sources(read, kinds=(Kind.DOCUMENTATION,), seed=SEED, limit=QUESTIONS)
    made += from_sources(read, kinds=(Kind.COMPLETION,), seed=SEED, limit=PLACES)
    chance = random.Random(digest(str(SEED), package.name))
    package.questions = [*_in_words(package, made, chance), *_names(package, read, chance)]
    package.files = hide(package.files, made)
    for one in made:
        if one.kind is not Kind.COMPLETION:
            continue
        assert one.cursor
        cursor = code_cursor(one.cursor, package.files[one.cursor.path])
        place = (cursor.path, cursor.prefix, cursor.suffix)
        package.questions.append(Asked(package.name, "cursor", cursor=place, names=one.identifiers))
    package.words = frozenset().union(*(words_of(data) for data in package.files.values()))
    return package


def words_of(data: bytes) -> frozenset[str]:
    """Identifiers of a file and their words, in lower case."""
    found = set(identifiers(data.decode("utf-8", "replace")))
    return frozenset(word for name in found for word in (name.lower(), *split_identifier(name)))


def _in_words(package: Package, made: Sequence[Question], chance: random.Random) -> list[Asked]:
    """What documentation says, whole, or the few words of it that a person in a hurry types."""
    asked = []
    for one in made:
        if one.kind is not Kind.DOCUMENTATION:
            continue
        whole = Asked(package.name, "sentence", one.text, paths=tuple(place.path for place in one.answers))
        words = [word.strip(".,;:()\"'") for word in one.text.split() if word.lower().strip(".,;:()\"'") not in STOP_WORDS]
        few = replace(whole, kind="keywords", text=" ".join(words[: chance.randint(3, 7)]))
        asked.append(chance.choice((whole, few)))
    return asked


def _names(package: Package, read: Sequence[SourceFile], chance: random.Random) -> list[Asked]:
    """Names of definitions as they are, and as the words of a question."""
    places: dict[str, set[str]] = {}
    for file in questionable(read):
        for one in definitions(file):
            if len(one.name) >= FEWEST_NAME and not one.name.startswith("__"):
                places.setdefault(one.name, set()).add(file.path)
    single = sorted(name for name, paths in places.items() if len(paths) == 1)
    asked = []
    for name in chance.sample(single, min(QUESTIONS, len(single))):
        words, paths = split_identifier(name), tuple(places[name])
        if len(words) < 2 or chance.random() < 0.5:
            asked.append(Asked(package.name, "name", name, paths=paths, name=name))
        else:
            form = chance.choice(("how does {} work", "where is {} implemented", "{}", "{} logic", "code for {}"))
            asked.append(Asked(package.name, "words", form.format(" ".join(words)), paths=paths, name=name))
    return asked
