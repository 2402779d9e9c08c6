"""A bench of repositories in one process: their lanes are asked once and kept, so that ranking is scored again in seconds.

    python -m benchmarks.lab collect --corpus CORPUS --repos repos.json --annotations FOLDER --home FOLDER lanes.pickle
    python -m benchmarks.lab score lanes.pickle

`repos.json` lists repositories (`name`, `root`, `language`) whose checkouts lie below CORPUS; FOLDER/NAME.json holds their
questions (`query`, `relevant` and `secondary` files, maybe with lines). `--whole` indexes whole checkouts instead of roots,
`--together` asks all of them at once, without naming the repository. `--home` keeps the index between runs.
"""

import argparse
import asyncio
import json
import pickle
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.budget import Budget
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import Context, Query, Snippet
from nearcode.domain.spaces import View
from nearcode.retrieval.call import Call, Found
from nearcode.retrieval.service import Retrieval, choose
from nearcode.retrieval.settings import RetrievalSettings
from numpy.typing import NDArray

from benchmarks.scoring import elsewhere, ndcg, targets

SERVICES = ("ingestion", "chunking", "embedding", "retrieval", "generation")
SECONDS = 60.0
TELL_SECONDS = 10.0
"""Between two words about how far the chat space is filled."""
LIMIT = 10


class OneView:
    """A view that does not change."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def view(self) -> View:
        return self._view


@dataclass
class Asked:
    """One question with what its lanes found; `home` is the id of the repository that answers it."""

    repository: str
    home: str
    category: str
    targets: list[Any]
    call: Call
    found: Found

    def choose(self) -> Context:
        """What the ranking makes of it."""
        return choose(self.call, self.found, False)

    def score(self) -> float:
        """nDCG@10."""
        return ndcg([one if self.answers(one) else elsewhere(one) for one in self.choose().snippets], self.targets)

    def answers(self, snippet: Snippet) -> bool:
        """Whether a snippet is of the repository that answers."""
        return snippet.repository == self.home


@dataclass
class Bench:
    """Every question of a bench."""

    questions: list[Asked] = field(default_factory=list)

    @staticmethod
    def load(path: Path) -> "Bench":
        """Reads what `collect` wrote."""
        return Bench(pickle.loads(path.read_bytes()))

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """By repository, of each question."""
        found: dict[str, list[float]] = defaultdict(list)
        for question in self.questions:
            found[question.repository].append(question.score())
        return {name: np.array(values) for name, values in found.items()}


def mean(scores: dict[str, NDArray[np.float64]]) -> float:
    """Mean per repository, then over repositories."""
    return float(np.mean([each.mean() for each in scores.values()]))


async def index(app: App, folder: Path) -> str:
    """Indexes a folder and returns its repository's id."""
    ingestion = await app.local_ingestion()
    repository = (await ingestion.connect(folder.as_uri())).id
    await ingestion.sync(repository)
    while True:
        status = await ingestion.get(repository)
        if status.error:
            raise SystemExit(f"{folder}: {status.error}")
        if status.state == "ready" and not status.behind_since:
            return repository
        await asyncio.sleep(0.05)


async def fill(app: App) -> None:
    """Waits until the chat space holds all that is served."""
    ingestion = await app.local_ingestion()
    told = time.monotonic()
    while True:
        coverage = [one for status in await ingestion.list_repositories(coverage=True) for one in status.coverage]
        if errors := [one.error for one in coverage if one.error]:
            raise SystemExit(f"the chat space: {errors}")
        if coverage and all(one.ratio == 1.0 for one in coverage) and (await app.view()).chat:
            return
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            print(f"{np.mean([one.ratio for one in coverage]):.0%} of the chat space", flush=True)
        await asyncio.sleep(1.0)  # each look counts the points of every repository


async def ask(retrieval: Retrieval, repositories: Iterable[str], query: Query) -> tuple[Call, Found]:
    """What the lanes find for a question, without ranking it."""
    scope = Principal("benchmark", 0, frozenset(repositories)).scope()
    call = await retrieval.call(scope, query, SECONDS)
    try:
        found = await retrieval.find(call)
    finally:
        await call.close()
    assert found
    call.tasks, call.view, call.budget = [], None, Budget(SECONDS, {}, float)  # type: ignore[assignment]
    return call, replace(found, reading=None)


async def collect(arguments: argparse.Namespace) -> list[Asked]:
    """Indexes every repository and asks its questions."""
    chosen = {"home": str(arguments.home), "embedding": {"chat": {"enabled": "off"}}, "ingestion": {"watch": False}}
    asked: list[Asked] = []
    async with App(settings.load(overrides=chosen), SERVICES) as app:
        await app.warm()
        await app.start_workers()
        retrieval = Retrieval(OneView(replace(await app.view(), chat=None)), await app.revisions(), RetrievalSettings())
        repos = [repo for repo in json.loads(arguments.repos.read_text()) if repo["name"] in (arguments.only or repo["name"])]
        ids = {}
        for repo in repos:
            root = "" if arguments.whole else repo.get("root") or ""
            ids[repo["name"]] = await index(app, arguments.corpus / repo["name"] / root)
            print(f"indexed {repo['name']}", flush=True)
        for repo in repos:
            for question in json.loads((arguments.annotations / f"{repo['name']}.json").read_text()):
                scope = ids.values() if arguments.together else [ids[repo["name"]]]
                call, found = await ask(retrieval, scope, Query(question=question["query"], limit=LIMIT, everything=True))
                asked.append(Asked(repo["name"], ids[repo["name"]], question["category"], targets(question), call, found))
    return asked


def table(bench: Bench) -> None:
    """Prints nDCG@10 by repository and by category."""
    scores = bench.scores()
    for name, each in scores.items():
        print(f"{name:<22}{len(each):4} {each.mean():.3f}")
    by_category: dict[str, list[float]] = defaultdict(list)
    for question, score in zip(bench.questions, np.concatenate(list(scores.values())), strict=True):
        by_category[question.category].append(float(score))
    print({category: f"{np.mean(values):.3f}" for category, values in sorted(by_category.items())})
    print(f"nDCG@10 {mean(scores):.4f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    collecting, scoring = commands.add_parser("collect"), commands.add_parser("score")
    for name in ("corpus", "repos", "annotations", "home"):
        collecting.add_argument(f"--{name}", type=lambda path: Path(path).absolute(), required=True)
    collecting.add_argument("--whole", action="store_true")
    collecting.add_argument("--together", action="store_true")
    collecting.add_argument("--only", type=lambda names: names.split(","))
    for each in (collecting, scoring):
        each.add_argument("lanes", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "collect":
        given.lanes.write_bytes(pickle.dumps(asyncio.run(collect(given))))
    table(Bench.load(given.lanes))


if __name__ == "__main__":
    from benchmarks import lab  # what is pickled belongs to the module, not to the program

    lab.main()
