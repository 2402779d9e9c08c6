"""BM25 by the library bm25s, of the chunks that semble cuts, with their paths' words: what ranking by words alone gives."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from nearcode.domain.retrieval import Snippet

from benchmarks.peers.measuring import Session
from benchmarks.peers.tools import LIMIT, Served, environment, found

ROOT = Path(__file__).resolve().parents[2]


def worker(mode: str, kind: str, folder: Path, home: Path, *question: str) -> list[str]:
    """The command of `worker.py`."""
    return [sys.executable, "-m", "benchmarks.peers.worker", mode, kind, str(folder), str(home), *question]


def library_results(output: str) -> list[Snippet]:
    """The ranked results that a worker printed, one JSON object."""
    told = json.loads(output)["results"]
    return [found(one["file_path"], one["start_line"], one["end_line"], one["score"]) for one in told[:LIMIT]]


class Bm25:
    """A library, so its processes are ours: one that indexes, one a question, or one that stays."""

    good = frozenset({0})
    kind = "bm25"

    @property
    def name(self) -> str:
        return f"BM25 (bm25s {version('bm25s')})"

    def missing(self) -> str:
        return "" if find_spec("bm25s") and find_spec("semble") else "uv sync --inexact --group bench"

    def env(self, home: Path) -> Mapping[str, str]:
        # Without the safe path a searched folder's own `json` or `typing` would be imported.
        kept = {"SEMBLE_CACHE_LOCATION": str(home), "SEMBLE_INDEX_WORKERS": "4"}
        return environment(PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1", **kept)

    def index(self, folder: Path, home: Path) -> Sequence[str]:
        return worker("index", self.kind, folder, home)

    def once(self, folder: Path, home: Path, question: str) -> Sequence[str]:
        return worker("once", self.kind, folder, home, question)

    @contextmanager
    def serving(self, folder: Path, home: Path) -> Iterator[Served]:
        with Session(worker("serve", self.kind, folder, home), folder, self.env(home)) as session:
            yield Served(session, [session.pid])

    def results(self, output: str, question: str) -> list[Snippet]:
        return library_results(output)
