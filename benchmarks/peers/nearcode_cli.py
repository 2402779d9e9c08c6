"""nearcode as its user calls it: `nearcode index`, `nearcode search`, and `nearcode run` behind a search that stays open."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from nearcode.domain.retrieval import Snippet

from benchmarks.peers.measuring import Failed, Session, ended
from benchmarks.peers.tools import LIMIT, Served, environment, found, program


class Nearcode:
    """The embedded default, in a home of its own."""

    good = frozenset({0})

    def __init__(self, path: str = "") -> None:
        self._path = path or program("nearcode")

    @property
    def name(self) -> str:
        return f"nearcode {version('nearcode')}"

    def missing(self) -> str:
        return "" if self._path else "make setup"

    def env(self, home: Path) -> Mapping[str, str]:
        return environment(NEARCODE_HOME=str(home))

    def index(self, folder: Path, home: Path) -> Sequence[str]:
        return [self._path, "index", str(folder)]

    def once(self, folder: Path, home: Path, question: str) -> Sequence[str]:
        return [*self._search(folder), "--", question]

    def _search(self, folder: Path) -> list[str]:
        return [self._path, "search", "--repo", str(folder), "--json", "--limit", str(LIMIT)]

    @contextmanager
    def serving(self, folder: Path, home: Path) -> Iterator[Served]:
        env = self.env(home)
        engine = subprocess.Popen([self._path, "run", "--json"], env=env, stdout=subprocess.PIPE, text=True)
        assert engine.stdout
        try:
            if not engine.stdout.readline():
                raise Failed("nearcode run ended before it was ready: nearcode logs tells why")
            with Session([*self._search(folder), "--queries", "-"], folder, env) as session:
                yield Served(session, [engine.pid, session.pid])
        finally:
            engine.terminate()
            ended(engine)
            engine.stdout.close()

    def results(self, output: str, question: str) -> list[Snippet]:
        told = json.loads(next(line for line in output.splitlines() if line.startswith("{")))["results"]
        return [found(one["path"], one["start_line"], one["end_line"], one["score"]) for one in told[:LIMIT]]
