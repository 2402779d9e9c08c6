"""ripgrep as people and agents use it for a question: its words, and the files that hold most of them.

ripgrep does not rank. Files are ordered here by how many different words of the question they hold, then by how many matches;
a result is a whole file.
"""

import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from nearcode.domain.retrieval import Snippet

from benchmarks.peers.tools import LIMIT, WHOLE_FILE, environment, found, program

_STOP = """
a an and any are as at be but by can do does for from get has have how if in into is it its my not of on one or so than that
the their them then there these this to was we what when where which who why will with without you your
"""
STOP_WORDS = frozenset(_STOP.split())
"""Words of a question that nobody would search code for."""


class Ripgrep:
    """One process a question, without an index."""

    good = frozenset({0, 1})

    def __init__(self) -> None:
        self._path = program("rg")

    @property
    def name(self) -> str:
        told = subprocess.run([self._path, "--version"], capture_output=True, text=True, check=True).stdout
        return " ".join(told.split()[:2])

    def missing(self) -> str:
        return "" if self._path else "uv sync --inexact --group bench"

    def env(self, home: Path) -> Mapping[str, str]:
        return environment(RIPGREP_CONFIG_PATH="")

    def index(self, folder: Path, home: Path) -> Sequence[str]:
        return []

    def once(self, folder: Path, home: Path, question: str) -> Sequence[str]:
        patterns = [part for word in words(question) for part in ("-e", word)]
        options = ["--ignore-case", "--fixed-strings", "--only-matching", "--no-line-number", "--with-filename", "--null"]
        return [self._path, "--no-require-git", *options, *patterns, "."]

    def serving(self, folder: Path, home: Path) -> None:
        return None

    def results(self, output: str, question: str) -> list[Snippet]:
        return [found(path, 1, WHOLE_FILE, float(score)) for path, score in ranked(output)[:LIMIT]]


def words(question: str) -> list[str]:
    """Words of a question worth searching for, each once: runs of letters, digits and underscores; the question itself if
    there are none."""
    kept = [word for word in re.findall(r"\w+", question.lower()) if len(word) > 1 and word not in STOP_WORDS]
    return list(dict.fromkeys(kept)) or [question]


def ranked(output: str) -> list[tuple[str, int]]:
    """Files by the different words in them, then by matches, then by path, with the number of different words."""
    matches: dict[str, Counter[str]] = defaultdict(Counter)
    for line in output.splitlines():
        path, _, word = line.partition("\0")
        matches[path.removeprefix("./")][word.lower()] += 1
    files = sorted(matches, key=lambda path: (-len(matches[path]), -matches[path].total(), path))
    return [(path, len(matches[path])) for path in files]
