"""Asks the packages: each question where its answer is, alone and among others, and where it is not."""

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nearcode import settings
from nearcode.app import App
from nearcode.domain.errors import Unavailable
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.domain.principal import Principal
from nearcode.domain.retrieval import CodeCursor, Context, Query
from nearcode.domain.spaces import Opened, View
from nearcode.domain.terms import split_identifier
from nearcode.evaluation.scoring import names_found
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings
from numpy.typing import NDArray

from benchmarks import lab
from training.calibration.packages import SEED, Asked, Package

FEW, SHOWN = 8, 10
"""Repositories of a middling scope; snippets of an answer."""
ALL = 0.4
"""Share of the questions that all packages are asked at once: each takes as long as five others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's evidence, its scores, and which of its snippets help. `indexed`: whether what helps was in scope."""

    package: str
    kind: str
    plan: str
    scope: str
    indexed: bool
    evidence: dict[str, float]
    scores: list[float]
    useful: list[bool]
    found: list[int]
    wanted: int


class Away:
    """An embedder that does not answer: the words alone do."""

    profile = ModelProfile("away", 1)

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        raise Unavailable("away")

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        raise Unavailable("away")


async def answers(packages: Sequence[Package]) -> list[dict[str, Any]]:
    """Indexes the packages into one index and asks it everything."""
    with tempfile.TemporaryDirectory() as folder:
        home, code = Path(folder) / "home", Path(folder) / "code"
        configured = settings.load(overrides={"home": str(home), "ingestion": {"watch": False}})
        async with App(configured, lab.SERVICES) as app:
            await app.warm()
            await app.start_workers()
            began = time.perf_counter()
            ids = {package.name: await index(app, package, code / package.name) for package in packages}
            print(f"{len(ids)} packages indexed in {time.perf_counter() - began:.0f} s", flush=True)
            view = await app.view()
            found: list[Answer] = []
            for embedder, scopes in ((view.completion.embedder, ("one", "few", "all")), (Away(), ("one", "few"))):
                seen = lab.OneView(View(Opened(view.completion.index, embedder)))
                retrieval = Retrieval(seen, await app.revisions(), RetrievalSettings())
                found += await _ask_all(retrieval, packages, ids, scopes)
            return list(map(asdict, found))


async def index(app: App, package: Package, folder: Path) -> str:
    """Writes a package's files below a folder and indexes it; its repository's id."""
    for path, data in package.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return await lab.index(app, folder)


async def _ask_all(
    retrieval: Retrieval, packages: Sequence[Package], ids: dict[str, str], wanted: Sequence[str]
) -> list[Answer]:
    chance = random.Random(SEED)
    by_name = {package.name: package for package in packages}
    found = []
    for package in packages:
        others = sorted(set(ids) - {package.name})
        for asked in package.questions:
            foreign = [name for name in others if not answerable(asked, by_name[name])] or others
            scopes = [("one", [package.name])]
            if asked.cursor is None:
                few = chance.sample(others, min(FEW, len(others)))
                scopes += [("few", [package.name, *few[1:]]), ("one", [chance.choice(foreign)])]
                scopes += [("few", [name for name in few if name in foreign])]
                if chance.random() < ALL:
                    scopes += [("all", [package.name, *others]), ("all", foreign)]
            for scope, names in scopes:
                if names and scope in wanted:
                    context = await _ask(retrieval, asked, [ids[name] for name in names])
                    found.append(_answer(asked, context, scope, package.name in names, ids[package.name]))
    return found


def answerable(asked: Asked, other: Package) -> bool:
    """Whether another package may hold an answer: it defines or uses the name that is asked for, or holds all its words."""
    if asked.kind == "name":
        return asked.name.lower() in other.words
    if asked.kind == "words":
        return set(split_identifier(asked.name)) <= other.words
    return False


async def _ask(retrieval: Retrieval, asked: Asked, repositories: Sequence[str]) -> Context:
    scope = Principal("trainer", 0, frozenset(repositories)).scope()
    cursor = CodeCursor(*asked.cursor) if asked.cursor else None
    return await retrieval.explain(scope, Query(asked.text, cursor, SHOWN, everything=True), lab.SECONDS)


def _answer(asked: Asked, context: Context, scope: str, indexed: bool, repository: str) -> Answer:
    if asked.cursor:
        found = [names_found([one], asked.names) for one in context.snippets]
        useful = [count > 0 for count in found]
    else:
        useful = [one.repository == repository and one.path in asked.paths for one in context.snippets]
        found = [int(one) for one in useful]
    scores = [one.score for one in context.snippets]
    return Answer(
        asked.package, asked.kind, context.plan, scope, indexed, dict(context.evidence), scores, useful, found, len(asked.names)
    )
