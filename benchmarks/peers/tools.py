"""What a tool must be able to do to be measured, and the ones that are."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nearcode.domain.retrieval import Snippet

from benchmarks.peers.measuring import Session

LIMIT = 10
"""Results of a question: nDCG@10 looks at no more."""
WHOLE_FILE = 10**9
"""Last line of a result that is a whole file."""


@dataclass(frozen=True, slots=True)
class Served:
    """A tool that stays in memory between questions, and all of its processes."""

    session: Session
    pids: Sequence[int]


class Tool(Protocol):
    """A tool that finds code. Commands run in the folder that is searched; `home` is empty at first and holds the index."""

    good: frozenset[int]
    """Exit codes of a process that did its work: ripgrep ends with 1 where nothing matches."""

    @property
    def name(self) -> str:
        """What tables call it, with its version."""

    def missing(self) -> str:
        """What to do when it cannot run here; empty when it can."""

    def env(self, home: Path) -> Mapping[str, str]:
        """The environment of its processes."""

    def index(self, folder: Path, home: Path) -> Sequence[str]:
        """The command that indexes; empty when there is no index."""

    def once(self, folder: Path, home: Path, question: str) -> Sequence[str]:
        """The command of a process that answers one question."""

    def serving(self, folder: Path, home: Path) -> AbstractContextManager[Served] | None:
        """The tool kept in memory, None if it has no such mode."""

    def results(self, output: str, question: str) -> list[Snippet]:
        """The ranked results in what it printed for a question, best first."""


def found(path: str, start: int, end: int, score: float = 0.0) -> Snippet:
    """A result: lines of a file whose path is relative to the folder."""
    return Snippet("", path, "", start, end, score, "")


def program(name: str) -> str:
    """The path of a program: this environment's own, or one on PATH; empty if there is none."""
    own = Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin") / name
    return str(own) if own.exists() else shutil.which(name) or ""


def environment(**more: str) -> dict[str, str]:
    """This process's environment with more in it."""
    return {**os.environ, **more}
