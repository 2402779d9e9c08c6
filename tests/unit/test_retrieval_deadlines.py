"""Late dependencies make the plan cheaper, never the answer late; dead ones are named."""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from nearcode.domain.errors import Unavailable
from nearcode.domain.index import DenseQuery, Hit, LaneQuery
from nearcode.domain.principal import Scope
from nearcode.domain.repository import Revision
from nearcode.domain.retrieval import Context, Query
from numpy.typing import NDArray

from tests.unit.memory_index import MemoryIndex
from tests.unit.retrieval_world import SHOP, SPACE, MemoryRevisions, WordEmbedder, World, cut_file, point, scope

SECONDS = 0.2
PLENTY = 60.0
"""Seconds for a question of which nothing hangs: on the busiest machine, nothing is late."""
PATIENT = 2.0
"""Seconds for a question of which something hangs, and nothing else may be late."""
SHOP_POINTS = [point(chunk) for repository in SHOP for path, text in SHOP[repository].items()
               for chunk in cut_file(repository, path, text)]  # fmt: skip


class Fault:
    """Does nothing, hangs until it is cancelled, or fails."""

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self.waiting = 0
        self.struck = asyncio.Event()

    async def strike(self) -> None:
        if self.kind == "down":
            raise Unavailable("down")
        if self.kind == "hangs":
            self.waiting += 1
            self.struck.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1


class FaultyEmbedder(WordEmbedder):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        await self.fault.strike()
        return await super().embed_query(text, weights)


class FaultyIndex(MemoryIndex):
    def __init__(self, dense: Fault, lexical: Fault) -> None:
        super().__init__(SPACE, SHOP_POINTS)
        self.dense, self.lexical = dense, lexical

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        await (self.dense if any(isinstance(query, DenseQuery) for query in queries) else self.lexical).strike()
        return await super().search(scope, queries)


class FaultyRevisions(MemoryRevisions):
    def __init__(self, revisions: Mapping[str, Revision], fault: Fault) -> None:
        super().__init__(revisions)
        self.fault = fault

    async def current(self, repository: str) -> Revision | None:
        await self.fault.strike()
        return await super().current(repository)


class Faults:
    """A world in which each dependency may have a fault."""

    def __init__(self, **kinds: str) -> None:
        self.faults = {name: Fault(kinds.get(name, "")) for name in ("embedder", "dense", "lexical", "revisions")}
        self.world = World(SHOP)
        self.world.index = FaultyIndex(self.faults["dense"], self.faults["lexical"])
        self.world.embedder = FaultyEmbedder(self.faults["embedder"])
        self.world.revisions = FaultyRevisions(self.world.revisions.revisions, self.faults["revisions"])

    async def ask(self, seconds: float = SECONDS) -> Context:
        context = await self.world.ask("discount", seconds=seconds)
        assert not any(fault.waiting for fault in self.faults.values()), "something outlives the answer"
        return context


def skipped(context: Context) -> list[str]:
    return [stage.name for stage in context.stages if stage.skipped]


async def test_all_in_time_is_the_hybrid_plan() -> None:
    context = await Faults().ask(PLENTY)
    assert context.plan == "hybrid" and not skipped(context)
    assert [stage.name for stage in context.stages] == ["revisions", "embed", "search", "graph lane", "rank"]


@pytest.mark.parametrize(
    ("faults", "plan", "late"),
    [
        ({"embedder": "hangs"}, "lexical", ["embed"]),
        ({"embedder": "down"}, "lexical", ["embed"]),
        ({"dense": "hangs"}, "lexical", ["search"]),
        ({"dense": "down"}, "lexical", ["search"]),
        ({"lexical": "hangs"}, "dense", ["search"]),
        ({"lexical": "down"}, "dense", ["search"]),
    ],
)
async def test_a_missing_lane_leaves_a_cheaper_plan(faults: dict[str, str], plan: str, late: list[str]) -> None:
    context = await Faults(**faults).ask(PATIENT if "hangs" in faults.values() else PLENTY)
    assert (context.plan, skipped(context)) == (plan, late)
    assert context.snippets[0].path == "shop/prices.py"


@pytest.mark.parametrize("faults", [{"dense": "hangs", "lexical": "hangs"}, {"revisions": "hangs"}])
async def test_a_late_index_leaves_no_snippets(faults: dict[str, str]) -> None:
    context = await Faults(**faults).ask()
    assert (context.plan, context.snippets) == ("none", ())
    assert sum(stage.spent_ms for stage in context.stages) < SECONDS * 1e3 * 1.5


@pytest.mark.parametrize(
    "faults", [{"dense": "down", "lexical": "down"}, {"dense": "hangs", "lexical": "down"}, {"revisions": "down"}]
)
async def test_a_dead_index_is_an_error(faults: dict[str, str]) -> None:
    with pytest.raises(Unavailable):
        await Faults(**faults).ask()


async def test_no_time_at_all_is_the_plan_none() -> None:
    assert (await Faults(dense="hangs", lexical="hangs").ask(seconds=0.0)).plan == "none"


async def test_cancelling_the_question_cancels_everything_below() -> None:
    faults = Faults(embedder="hangs", lexical="hangs")
    asking = asyncio.create_task(faults.world.retrieval().retrieve(scope("shop"), Query(question="cart"), 60.0))
    await faults.faults["embedder"].struck.wait()
    await faults.faults["lexical"].struck.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not any(fault.waiting for fault in faults.faults.values())
