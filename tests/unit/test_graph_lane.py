"""What the edited file imports is looked at though its words differ; late or forbidden, the lane changes nothing else."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.index import DefinitionQuery, Hit, LaneQuery
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.retrieval import CodeCursor, Context, Query, Snippet
from nearcode.retrieval.graphs import Graphs

from tests.servers import eventually
from tests.unit.memory_index import MemoryIndex
from tests.unit.retrieval_world import SPACE, Files, MemoryRevision, World, cut_file, point, scope

EDITED = "from lib.engine import start\n\n\ndef paint_wall(colour):\n    brush = pick_brush(colour)\n    "
PAINTING = {
    f"paint/wall{number}.py": f"def paint_wall{number}(colour):\n    brush = pick_brush(colour)\n" for number in range(40)
}
HOUSE = {
    "app/main.py": EDITED,
    "lib/__init__.py": "",
    "lib/engine.py": "def start(motor):\n    motor.ignite()\n",
    "other/engine.py": "def halt(motor):\n    motor.extinguish()\n",
    **PAINTING,
}


def told(context: Context) -> dict[str, Snippet]:
    """Everything that was found, by path."""
    return {each.path: each for each in (*context.losers, *context.snippets)}


def lanes(snippet: Snippet) -> set[str]:
    return {each.lane for each in snippet.lanes}


async def at_cursor(world: World, path: str = "app/main.py", text: str = EDITED, *readable: str) -> Context:
    query = Query(cursor=CodeCursor(path, text), limit=5, everything=True)
    return await world.retrieval(candidates=10).explain(scope(*(readable or world.revisions.revisions)), query, 60.0)


async def test_what_is_imported_is_found_though_its_words_differ() -> None:
    found = told(await at_cursor(World({"house": HOUSE})))
    assert lanes(found["lib/engine.py"]) >= {"graph"}
    assert "other/engine.py" not in found or "graph" in lanes(found["other/engine.py"])
    without = {path: text for path, text in HOUSE.items() if path != "lib/engine.py"}
    assert "lib/engine.py" not in told(await at_cursor(World({"house": without})))


async def test_a_new_file_is_looked_up_where_its_imports_lie() -> None:
    world = World({"garden": {"garden/rose.py": "def water(): pass\n"}, "house": HOUSE})
    found = told(await at_cursor(world, "app/new.py"))
    assert "graph" in lanes(found["lib/engine.py"])


async def test_definitions_are_found_however_they_are_spelled() -> None:
    far = {f"misc/f{number}.py": "def unrelated():\n    item = add()\n" for number in range(40)}
    world = World({"till": {"till/basket.py": "class Basket:\n    def put_thing_in(self, x):\n        pass\n", **far}})
    for question in ("putThingIn", "where do you put thing in the basket", "PutThingIn"):
        context = await world.retrieval(candidates=10).explain(scope("till"), Query(question=question, everything=True), 60.0)
        assert {"definition", "graph"} <= lanes(told(context)["till/basket.py"]), question


class Recorder(MemoryIndex):
    """Remembers what it was asked; may hang at the graph's questions."""

    hangs = False

    def __init__(self, files: Files) -> None:
        points = [
            point(chunk)
            for name, texts in files.items()
            for path, text in texts.items()
            for chunk in cut_file(name, path, text)
        ]
        super().__init__(SPACE, points)
        self.near: list[str] = []

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        near = [query.near for query in queries if not isinstance(query, DefinitionQuery) and query.near]
        self.near += [each.repository for each in near]
        if self.hangs and near:
            await asyncio.Event().wait()
        return await super().search(scope, queries)


async def test_when_the_graph_is_late_the_other_lanes_answer_without_it() -> None:
    world = World({"house": HOUSE})
    index = world.index = Recorder({"house": HOUSE})
    index.hangs = True
    query = Query(cursor=CodeCursor("app/main.py", EDITED), limit=5, everything=True)
    context = await world.retrieval(candidates=10).retrieve(scope("house"), query, 0.4)
    assert context.plan == "hybrid" and context.snippets
    assert [stage.name for stage in context.stages if stage.skipped] == ["graph lane"]
    assert index.near


names = st.sampled_from(["red", "green", "blue"])
texts = st.sampled_from(
    ["from lib.engine import start\n", "def start():\n    pass\n", "import lib.engine\n\ndef go(): start()\n"]
)
files = st.dictionaries(st.sampled_from(["lib/engine.py", "app/main.py", "app/more.py"]), texts, min_size=1, max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(names, files, min_size=1, max_size=3), st.frozensets(names), st.sampled_from(["app/main.py", "lib/new.py"])
)
def test_nothing_outside_of_the_scope_is_looked_at_or_returned(
    repositories: dict[str, dict[str, str]], readable: frozenset[str], path: str
) -> None:
    world = World(repositories)
    index = world.index = Recorder(repositories)
    asker = Principal("ada", 1, readable).scope()
    query = Query(cursor=CodeCursor(path, EDITED), everything=True)
    context = asyncio.run(world.retrieval().explain(asker, query, 60.0))
    assert set(index.near) <= readable & repositories.keys()
    assert {each.repository for each in (*context.snippets, *context.losers)} <= readable
    alone = World({name: each for name, each in repositories.items() if name in readable})
    same = asyncio.run(alone.retrieval().explain(asker, query, 60.0))
    assert (context.snippets, context.losers) == (same.snippets, same.losers)


async def test_while_the_graph_of_a_new_revision_is_made_the_one_before_answers() -> None:
    graphs = Graphs(most_files=3)
    old = MemoryRevision("house", {"a.py": "", "b.py": "import a\n"})
    first = await graphs.of(old)
    assert await graphs.of(old) is first
    new = replace(old, texts={"a.py": "", "c.py": "import a\n"})
    assert await graphs.of(new) is first

    async def renewed() -> bool:
        return await graphs.of(new) is not first

    await eventually(renewed, 10, "the graph of the new revision is never there")
    assert (await graphs.of(new)).importers_of("a.py") == ("c.py",)


async def test_graphs_of_repositories_that_nobody_asks_fall_out_of_memory() -> None:
    graphs = Graphs(most_files=3)
    house, garden = MemoryRevision("house", {"a.py": "", "b.py": ""}), MemoryRevision("garden", {"a.py": "", "b.py": ""})
    first = await graphs.of(house)
    await graphs.of(garden)
    assert await graphs.of(house) is not first
