"""Nobody is shown code that he may not read, and nobody can tell from his answers what else there is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.index import Hit, IndexSpace, LaneQuery
from nearcode.domain.principal import Principal, Scope
from nearcode.domain.retrieval import CodeCursor, Context, Query

from tests.unit.memory_index import MemoryIndex
from tests.unit.retrieval_world import SHOP, SPACE, MemoryRevision, World, cut_file, point, scope

NAMES = ("red", "green", "blue", "black")
WORDS = ("cart", "total", "parse", "token", "router", "socket", "Account", "open_file")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(
    lambda words: "\n".join(f"def {word}():" for word in words)
)
files = st.dictionaries(st.sampled_from(["a.py", "b/c.py", "tests/test_a.py", "b/d.py"]), texts, min_size=1, max_size=4)
worlds = st.dictionaries(st.sampled_from(NAMES), files, min_size=2, max_size=4)
grants = st.frozensets(st.sampled_from(NAMES))
queries = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(lambda words: Query(question=" ".join(words))),
    texts.map(lambda text: Query(cursor=CodeCursor("b/c.py", text))),
)


class LeakyIndex(MemoryIndex):
    """An index with a fault planted: it ignores whom it answers."""

    space: IndexSpace = SPACE

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        everyone = Principal("anybody", 0, frozenset(NAMES) | frozenset(SHOP))
        return await super().search(everyone.scope(), queries)


def explain(world: World, asker: Scope, query: Query) -> Context:
    return asyncio.run(world.retrieval().explain(asker, query, 60.0))


@settings(max_examples=60, deadline=None)
@given(worlds, grants, grants, queries)
def test_only_readable_repositories_are_shown(
    repositories: dict[str, dict[str, str]], readable: frozenset[str], wanted: frozenset[str], query: Query
) -> None:
    asker = Principal("ada", 1, readable).scope(wanted)
    context = explain(World(repositories), asker, query)
    assert {each.repository for each in (*context.snippets, *context.losers)} <= asker.repositories <= readable
    assert context.dropped == 0


@settings(max_examples=60, deadline=None)
@given(worlds, grants, queries)
def test_a_faulty_index_leaks_nothing_and_is_counted(
    repositories: dict[str, dict[str, str]], readable: frozenset[str], query: Query
) -> None:
    world = World(repositories)
    points = [point(chunk) for name in repositories for path, text in repositories[name].items()
              for chunk in cut_file(name, path, text)]  # fmt: skip
    world.index = LeakyIndex(SPACE, points)
    asker = Principal("ada", 1, readable).scope()
    context = explain(world, asker, query)
    assert {each.repository for each in (*context.snippets, *context.losers)} <= readable
    if readable:
        hidden = sum(each.chunk.repository not in readable for each in points)
        assert context.dropped == hidden  # the dense lane returns everything in so small a world


@settings(max_examples=40, deadline=None)
@given(worlds, st.sampled_from(NAMES), queries)
def test_answers_do_not_change_with_hidden_repositories(
    repositories: dict[str, dict[str, str]], hidden: str, query: Query
) -> None:
    visible = {name: files for name, files in repositories.items() if name != hidden}
    with_hidden = explain(World(repositories), scope(*visible), query)
    without = explain(World(visible), scope(*visible), query)
    assert (with_hidden.snippets, with_hidden.losers) == (without.snippets, without.losers)


async def test_an_outdated_file_version_is_dropped_and_counted() -> None:
    world = World(SHOP)
    newer = {**SHOP["shop"], "shop/prices.py": "def discount(item):\n    return 0\n"}
    world.revisions.revisions["shop"] = MemoryRevision("shop", newer)
    context = await world.ask("discount", "shop")
    assert context.dropped == 1
    assert "shop/prices.py" not in {snippet.path for snippet in context.snippets}


async def test_a_repository_that_is_not_served_yet_answers_nothing() -> None:
    world = World(SHOP)
    del world.revisions.revisions["shop"]
    context = await world.ask("discount", "shop")
    assert context.snippets == () and context.dropped > 0


async def test_a_forbidden_repository_answers_like_one_that_does_not_exist() -> None:
    world = World(SHOP)
    reader = Principal("ada", 1, frozenset({"shop"}))
    forbidden = await world.retrieval().explain(reader.scope({"bank"}), Query(question="withdraw"), 60.0)
    unknown = await world.retrieval().explain(reader.scope({"nowhere"}), Query(question="withdraw"), 60.0)
    assert forbidden == replace(unknown) and forbidden.snippets == ()
