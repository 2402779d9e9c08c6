"""What a caller of a server asks, how long the answers take, and what exact search would have answered."""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
from nearcode.adapters import qdrant_wire as protocol
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.app import App
from nearcode.chunking.outline import outline
from nearcode.domain.index import ChunkIndex, DefinitionQuery, DenseQuery, Hit, LaneQuery, LexicalQuery
from nearcode.domain.languages import language_of
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.retrieval import Query
from nearcode.domain.spaces import Opened, View
from nearcode.evaluation.question import Kind, code_cursor
from nearcode.evaluation.questions import generate
from nearcode.retrieval.service import Retrieval
from nearcode.retrieval.settings import RetrievalSettings
from qdrant_client import grpc as wire

from tests.servers import Server

SEED = "nearcode-server-scale-1"
CALLERS = 10
"""Each may read as many repositories as the run says, drawn for him."""
TOP = 10
TOKENS = 2048
"""Room of an answer to a cursor."""
SECONDS = 60.0
LANES = {DenseQuery: "dense", LexicalQuery: "lexical", DefinitionQuery: "definition"}
FILES, SHORTEST, LONGEST = 12, 1_000, 60_000
"""Files of a repository that questions are made from, and their bytes."""
EACH = 4
"""Questions of each kind from one repository."""


@dataclass(slots=True)
class Recorder:
    """Implements the part of `ChunkIndex` that retrieval uses, and remembers what was asked."""

    index: ChunkIndex
    asked: list[tuple[Scope, LaneQuery]] = field(default_factory=list)

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        """As the index."""
        self.asked += [(scope, query) for query in queries]
        return await self.index.search(scope, queries)


@dataclass(frozen=True, slots=True)
class OneView:
    """A view that does not change."""

    opened: Opened

    async def view(self) -> View:
        """Without a chat space."""
        return View(self.opened)


def questions(folders: Mapping[str, Path], count: int) -> list[tuple[str, Query]]:
    """Repositories with what is asked there: half questions in words, half cursors."""
    chance, made = random.Random(SEED), list[tuple[str, Query]]()
    for repository in chance.sample(sorted(folders, key=lambda name: folders[name].name), len(folders)):
        folder = folders[repository]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _some(folder, chance)}
        for one in generate(files, outline, kinds=(Kind.DOCUMENTATION, Kind.COMPLETION), limit=EACH):
            cursor = code_cursor(one.cursor, files[one.cursor.path]) if one.cursor else None
            made.append((repository, Query(one.text, cursor, TOP, TOKENS if cursor else 0)))
        if len(made) >= 2 * count:
            break
    words = [one for one in made if not one[1].cursor][: count // 2]
    cursors = [one for one in made if one[1].cursor][: count - count // 2]
    return chance.sample([*words, *cursors], len(words) + len(cursors))


def _some(folder: Path, chance: random.Random) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if language_of(path.name) and path.is_file())
    right = [path for path in found if SHORTEST < path.stat().st_size < LONGEST]
    return chance.sample(right, min(FILES, len(right)))


def scopes(repositories: Sequence[str], readable: int) -> list[list[str]]:
    """What each caller may read."""
    chance = random.Random(SEED)
    return [chance.sample(sorted(repositories), readable) for _ in range(CALLERS)]


async def whole(
    app: App, server: Server, asked: Sequence[tuple[str, Query]], callers: Sequence[list[str]]
) -> tuple[dict[str, Any], list[tuple[Scope, LaneQuery]]]:
    """Times of whole retrievals, by kind of query and by stage, and what they asked of the index. A question goes to a caller
    who may read the repository that it comes from, if there is one."""
    recorder, here = Recorder(await app.index()), psutil.Process().pid
    opened = Opened(cast(ChunkIndex, recorder), (await app.view()).completion.embedder)
    retrieval = Retrieval(OneView(opened), await app.revisions(), RetrievalSettings())
    times, plans = defaultdict[str, list[float]](list), defaultdict[str, int](int)
    for turn in (1, 2):  # the first warms up: revisions are read, files come into the page cache
        recorder.asked.clear()
        times.clear()
        plans.clear()
        before = cpu(here), cpu(server.pid)
        for number, (repository, query) in enumerate(asked):
            began = time.perf_counter()
            context = await retrieval.retrieve(_scope(callers, repository, number), query, SECONDS)
            took = (time.perf_counter() - began) * 1e3
            for name in ("all", "cursors" if query.cursor else "questions"):
                times[name].append(took)
            plans[context.plan] += 1
            for stage in context.stages:
                times[f"stage {stage.name}"].append(stage.spent_ms)
        print(f"turn {turn}: {len(asked)} queries, p95 {np.percentile(times['all'], 95):.1f} ms", file=sys.stderr)
    spent = {"engine": cpu(here) - before[0], "qdrant": cpu(server.pid) - before[1]}
    figures = {
        "milliseconds": {name: spread(each) for name, each in times.items()},
        "cpu_ms_a_query": {name: round(seconds / len(asked) * 1e3, 2) for name, seconds in spent.items()},
        "plans": dict(plans),
    }
    return figures, recorder.asked


def _scope(callers: Sequence[list[str]], repository: str, number: int) -> Scope:
    may = [names for names in callers if repository in names] or callers
    return Principal("caller", 0, frozenset(may[number % len(may)])).scope()


async def lanes(index: QdrantChunkIndex, server: Server, asked: Sequence[tuple[Scope, LaneQuery]]) -> dict[str, Any]:
    """Each lane's queries alone, one after the other: times, and for the lanes that rank their recall against exact search."""
    by_lane, found = defaultdict[str, list[tuple[Scope, LaneQuery]]](list), dict[str, Any]()
    for scope, query in asked:
        by_lane[LANES[type(query)] + (" near" if getattr(query, "near", None) else "")].append((scope, query))
    for name, queries in by_lane.items():
        times, answers, before = list[float](), list[list[Hit]](), cpu(server.pid)
        for scope, query in queries:
            began = time.perf_counter()
            answers += await index.search(scope, [query])
            times.append((time.perf_counter() - began) * 1e3)
        found[name] = spread(times) | {"qdrant_cpu_ms": round((cpu(server.pid) - before) / len(queries) * 1e3, 2)}
        if name != LANES[DefinitionQuery]:
            shares = [recall(hits, await exact(index, *one)) for hits, one in zip(answers, queries, strict=True)]
            found[name][f"recall@{TOP}"] = round(float(np.mean(shares)), 4)
        print(f"{name}: {found[name]}", file=sys.stderr)
    return found


def recall(hits: Sequence[Hit], best: Sequence[float]) -> float:
    """The share of the best scores, best first, that the first hits reach."""
    return sum(hit.score >= best[-1] - 1e-5 for hit in hits[: len(best)]) / len(best) if best else 1.0


async def exact(index: QdrantChunkIndex, scope: Scope, query: LaneQuery) -> list[float]:
    """The scores of the best by exact search, best first."""
    request = protocol.ranking(index.collection, scope, query)
    if request is None:
        return []
    ignored = wire.QuantizationSearchParams(ignore=True)
    request.params.CopyFrom(wire.SearchParams(exact=True, quantization=ignored))
    request.limit = TOP
    request.with_payload.CopyFrom(wire.WithPayloadSelector(enable=False))
    batch = wire.QueryBatchPoints(collection_name=index.collection, query_points=[request])
    answer = await index._nodes.read("Points/QueryBatch", batch)
    return [float(point.score) for point in answer.result[0].result]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Percentiles of milliseconds."""
    return {f"p{part}": round(float(np.percentile(values, part)), 2) for part in (50, 95, 99)} | {"n": len(values)}


def cpu(pid: int) -> float:
    """Seconds that a process has computed."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
