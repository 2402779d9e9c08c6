"""Issue -> files that its fix changes, on SWE-bench Lite: nearcode and BM25 asked the same, in the same run.

    python -m benchmarks.localisation --tasks FILE --clones FOLDER [--weights FOLDER] [--json FILE]

FILE has a task a line (JSON): `instance_id`, `repo`, `base_commit`, `problem_statement` and `patch`, by themselves or below
`meta_data`, as github.com/gersteinlab/LocAgent publishes them (evaluation/loc_output/locagent/claude_3-5/loc_outputs.jsonl).
FOLDER holds bare clones with their history: `owner+name/repo`, `owner/name.git` or `owner/name`. Tasks whose repository is not
there are left out, and counted.

Each base commit is checked out into one folder per repository, in the order of history, and the engine's index follows it from
commit to commit. Asked is the issue, word for word. A file's rank is the place of its first snippet. Accuracy@k: all changed
files are among the first k (LocAgent, arXiv 2503.09089, calls this Acc@k); Hit@k: at least one is. Every fix of SWE-bench Lite
changes one file, so there the two are the same.

BM25 (bm25s, method lucene, k1 1.5, b 0.75) reads the same files, of each its path and its text, with the engine's own words
(camelCase and snake_case split, whole names kept): once with a file as the document, and once with nearcode's chunks, a file
being as good as its best chunk. Both are printed; the peer is whichever has the higher Accuracy@5. A second table leaves out
of every list what is a test. Intervals are 95 % of a paired bootstrap over tasks.

With `--weights` (a folder that `nearcode models pull` made) the transformer's space is asked too: hours on two cores for all
tasks, so choose some with `--only`.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.chunking.outline import outline
from nearcode.chunking.shapes import SHAPES
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import Query
from nearcode.domain.terms import identifier_terms, identifiers
from nearcode.own_code import read_folder
from nearcode.retrieval.files import file_facts
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings

from benchmarks import lab
from benchmarks.scoring import interval

SECONDS = 60.0
SNIPPETS = 100
"""Snippets asked for: the first ten files are among them."""
ATTEMPTS = 3
"""A machine so busy that a lane does not answer within a minute is asked again: what is measured is not how busy it is."""
WHOLE = "hybrid"
"""The plan of an answer that every lane had its part in."""
DEPTHS = (1, 5, 10)
STATIC, CHAT = "nearcode", "nearcode with the transformer"
BM25 = {"BM25 of files": False, "BM25 of chunks": True}
NO_TESTS = ", tests left out"


@dataclass(frozen=True, slots=True)
class Task:
    """An issue, the commit before its fix, and the files that the fix changes."""

    id: str
    repository: str
    commit: str
    issue: str
    files: frozenset[str]


@dataclass(slots=True)
class Ranked:
    """A task with the files that each system ranks, best first, and the seconds that this took."""

    task: Task
    files: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def place(self, system: str, tests: bool, every: bool) -> float:
        """From 1: where the first of the changed files stands; with `every`, where the last one does."""
        listed = [path for path in self.files[system] if tests or "test" not in file_facts(path).kinds]
        places = [listed.index(path) + 1 if path in listed else np.inf for path in self.task.files]
        return float(max(places) if every else min(places))


def read_tasks(lines: Iterable[str]) -> list[Task]:
    """The tasks of a file."""
    tasks = []
    for told in map(json.loads, lines):
        task = told | told.get("meta_data", {})
        changed = [line[6:] for line in task["patch"].splitlines() if line.startswith(("--- a/", "+++ b/"))]
        tasks.append(
            Task(task["instance_id"], task["repo"], task["base_commit"], task["problem_statement"], frozenset(changed))
        )
    return tasks


def clone_of(clones: Path, repository: str) -> Path | None:
    """Where a repository's history lies."""
    places = (clones / repository.replace("/", "+") / "repo", clones / f"{repository}.git", clones / repository)
    return next((place for place in places if place.is_dir()), None)


def git(folder: Path, *arguments: str) -> str:
    """What a git command says."""
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def by_time(folder: Path, tasks: Iterable[Task]) -> list[Task]:
    """In the order of history, so that little changes from one commit to the next."""
    return sorted(tasks, key=lambda task: (int(git(folder, "show", "-s", "--format=%ct", task.commit)), task.id))


def check_out(folder: Path, commit: str) -> None:
    """Makes the folder a commit's files and no others. A file whose content the clone does not hold is left out."""
    git(folder, "read-tree", "--reset", commit)
    subprocess.run(["git", "checkout-index", "--all", "--force", "--quiet"], cwd=folder, check=False, capture_output=True)
    git(folder, "clean", "-ffdxq")


@lru_cache(maxsize=50_000)
def terms(text: str) -> list[str]:
    """The engine's words of a text, in order, with repetitions."""
    return [term for name in identifiers(text) for term in identifier_terms(name)]


@lru_cache(maxsize=20_000)
def chunks(path: str, data: bytes) -> list[str]:
    """The chunks of a file, cut as the static space's are."""
    lines = data.decode("utf-8", "replace").splitlines()
    cut = outline(path, data, SHAPES["siblings"]).chunks
    return ["\n".join(lines[one.start_line - 1 : one.end_line]) for one in cut] or [""]


def bm25(files: Mapping[str, bytes], chunked: bool, question: str) -> list[str]:
    """Paths, best first; what holds no word of the question is left out."""
    from bm25s import BM25 as Index

    paths, corpus = [], []
    for path, data in files.items():
        texts = chunks(path, data) if chunked else [data.decode("utf-8", "replace")]
        paths += [path] * len(texts)
        corpus += [terms(path) + terms(text) for text in texts]
    index = Index()
    index.index(corpus, show_progress=False)
    asked = sorted({term for term in terms(question) if term in index.vocab_dict})
    scores = index.get_scores(asked) if asked else np.zeros(len(paths))
    order = np.argsort(-scores, kind="stable")
    return list(dict.fromkeys(paths[at] for at in order if scores[at] > 0.0))


@dataclass(slots=True)
class Engine:
    """The engine, and the retrievals that are compared. `filled`: whether the transformer's space is waited for."""

    app: App
    retrievals: dict[str, Retrieval]
    filled: bool

    async def index(self, folder: Path) -> str:
        """Makes the index follow a folder; its repository's id."""
        repository = await lab.index(self.app, folder)
        if self.filled:
            await lab.fill(self.app)
        return repository

    async def ask(self, repository: str, ranked: Ranked) -> None:
        """The files that each retrieval names for an issue."""
        scope = Principal("benchmark", 0, frozenset([repository])).scope()
        for name, retrieval in self.retrievals.items():
            for _ in range(ATTEMPTS):
                began = time.perf_counter()
                context = await retrieval.retrieve(scope, Query(ranked.task.issue, limit=SNIPPETS, everything=True), SECONDS)
                if context.plan == WHOLE:
                    break
            ranked.seconds[name] = time.perf_counter() - began
            ranked.files[name] = list(dict.fromkeys(snippet.path for snippet in context.snippets))


async def engine(app: App, chat: bool) -> Engine:
    """The engine with one retrieval, or two: without and with the transformer's space."""
    await app.warm()
    await app.start_workers()
    view = await app.view()
    while chat and view.chat is None:
        await asyncio.sleep(0.1)
        view = await app.view()
    views = {STATIC: replace(view, chat=None), **({CHAT: view} if chat else {})}
    revisions, asked = await app.revisions(), RetrievalSettings()
    return Engine(app, {name: Retrieval(lab.OneView(each), revisions, asked) for name, each in views.items()}, chat)


async def localise(engine: Engine, clone: Path, tasks: Sequence[Task], scratch: Path) -> list[Ranked]:
    """Asks the tasks of one repository."""
    folder, found = scratch / tasks[0].repository.replace("/", "__"), []
    git(scratch, "clone", "--quiet", "--shared", "--no-checkout", str(clone), str(folder))
    for task in by_time(folder, tasks):
        await asyncio.to_thread(check_out, folder, task.commit)
        ranked = Ranked(task)
        began = time.perf_counter()
        repository = await engine.index(folder)
        ranked.seconds["index"] = time.perf_counter() - began
        await engine.ask(repository, ranked)
        files = await asyncio.to_thread(read_folder, folder)
        for name, chunked in BM25.items():
            ranked.files[name] = await asyncio.to_thread(bm25, files, chunked, task.issue)
        found.append(ranked)
        places = "  ".join(f"{name} {ranked.place(name, True, True):.0f}" for name in ranked.files)
        print(f"{task.id:<32}{len(files):5} files  index {ranked.seconds['index']:5.1f} s  {places}", flush=True)
    await (await engine.app.local_ingestion()).disconnect(repository)
    return found


async def run(given: argparse.Namespace) -> list[Ranked]:
    """Asks every task."""
    chosen: dict[str, list[Task]] = defaultdict(list)
    for task in read_tasks(given.tasks.read_text("utf-8").splitlines()):
        if not given.only or task.repository in given.only or task.id in given.only:
            chosen[task.repository].append(task)
    clones = {repository: clone for repository in chosen if (clone := clone_of(given.clones, repository))}
    asked = sum(len(chosen[repository]) for repository in clones)
    print(f"{asked} tasks of {len(clones)} repositories; {sum(map(len, chosen.values())) - asked} have no clone", flush=True)
    chat = {"enabled": "on", "folder": str(given.weights), "profile": given.profile} if given.weights else {"enabled": "off"}
    found: list[Ranked] = []
    with tempfile.TemporaryDirectory() as scratch:
        home = {"home": f"{scratch}/home", "embedding": {"chat": chat}, "ingestion": {"watch": False}}
        async with App(settings.load(overrides=home), lab.SERVICES) as app:
            running = await engine(app, bool(given.weights))
            for repository, clone in sorted(clones.items()):
                found += await localise(running, clone, chosen[repository], Path(scratch))
    return found


def reached(found: Sequence[Ranked], system: str, depth: int, tests: bool, every: bool) -> "np.ndarray":
    """For each task 1 or 0: whether the files are among the first `depth`."""
    return np.array([float(ranked.place(system, tests, every) <= depth) for ranked in found])


def table(found: Sequence[Ranked], tests: bool) -> Iterator[dict[str, Any]]:
    """Prints and yields the accuracies, and how each retrieval differs from the peer."""
    systems = list(found[0].files)
    print(f"\n{len(found)} tasks{'' if tests else NO_TESTS}")
    for system in systems:
        row: dict[str, Any] = {"system": system, "tests": tests}
        for name, every in (("Accuracy", True), ("Hit", False)):
            row |= {f"{name}@{k}": float(reached(found, system, k, tests, every).mean()) for k in DEPTHS}
        print(f"  {system:<32}" + "  ".join(f"{name} {100 * row[name]:5.1f}" for name in row if "@" in name))
        yield row
    peer = max(BM25, key=lambda name: reached(found, name, 5, tests, True).mean())
    pairs = [(system, peer) for system in systems if system not in BM25]
    if CHAT in systems:
        pairs.append((CHAT, STATIC))
    for system, other in pairs:
        difference = reached(found, system, 5, tests, True) - reached(found, other, 5, tests, True)
        low, high = interval([difference])
        won, lost = int((difference > 0).sum()), int((difference < 0).sum())
        print(
            f"  {system} minus {other}: Accuracy@5 {100 * difference.mean():+.1f} points, 95 % interval "
            f"{100 * low:+.1f} to {100 * high:+.1f}; {won} won, {lost} lost"
        )
        told = {"mean": float(difference.mean()), "interval": [low, high], "won": won, "lost": lost}
        yield {"system": system, "minus": other, "tests": tests, **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tasks", "clones"):
        parser.add_argument(f"--{name}", type=lambda path: Path(path).absolute(), required=True)
    parser.add_argument("--weights", type=lambda path: Path(path).absolute())
    parser.add_argument("--profile", default="bge-small-en-v1-5")
    parser.add_argument("--only", type=lambda names: frozenset(names.split(",")), help="repositories or tasks, by commas")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    found = asyncio.run(run(given))
    if not found:
        raise SystemExit("no task was asked: name clones of the tasks' repositories with --clones")
    rows = [*table(found, True), *table(found, False)]
    asking = sorted(ranked.seconds[STATIC] for ranked in found)
    print(f"\n{time.perf_counter() - began:.0f} s; a question takes {1000 * asking[len(asking) // 2]:.0f} ms (median)")
    if given.json:
        tasks = [
            {"id": one.task.id, "seconds": one.seconds} | {name: one.place(name, True, True) for name in one.files}
            for one in found
        ]
        given.json.write_text(json.dumps({"rows": rows, "tasks": tasks}, indent=1, default=str))


if __name__ == "__main__":
    main()
