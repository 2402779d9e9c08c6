"""Limits are kept, answers repeat, and who asks why is told."""

from typing import Any

import pytest
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.retrieval import CodeCursor, Context, Query

from tests.unit.retrieval_world import SHOP, World, scope


async def explain(question: str = "cart total of an item", **wishes: Any) -> Context:
    return await World(SHOP).retrieval().explain(scope(*SHOP), Query(question=question, **wishes), 60.0)


def spans(context: Context) -> set[tuple[str, str, int]]:
    return {(each.repository, each.path, each.start_line) for each in context.snippets}


async def test_losers_are_told_with_why_and_are_not_winners() -> None:
    context = await explain(limit=2, tokens=70)
    losers = {(each.repository, each.path, each.start_line) for each in context.losers}
    assert len(context.snippets) == len(spans(context)) <= 2 and losers
    assert not losers & spans(context)
    assert all(each.lost_because for each in context.losers)
    assert not any(each.lost_because for each in context.snippets)


async def test_explain_shows_the_answer_that_retrieve_gives() -> None:
    query = Query(question="cart total", limit=3, tokens=60)
    answer = await World(SHOP).retrieval().retrieve(scope(*SHOP), query, 60.0)
    explained = await World(SHOP).retrieval().explain(scope(*SHOP), query, 60.0)
    assert answer.snippets == explained.snippets and not answer.losers


async def test_the_same_question_has_the_same_answer() -> None:
    first, second = await explain(), await explain()
    assert (first.snippets, first.losers) == (second.snippets, second.losers)


async def test_every_reason_of_winners_and_losers_adds_up() -> None:
    context = await explain(limit=2)
    for each in (*context.snippets, *context.losers):
        assert sum(each.reasons.values()) == each.score


async def test_nothing_below_the_minimum_score_is_shown() -> None:
    everything = await explain()
    middle = sorted(each.score for each in everything.snippets)[len(everything.snippets) // 2]
    cut = await explain(min_score=middle)
    assert cut.snippets == tuple(each for each in everything.snippets if each.score >= middle)
    assert {each.lost_because for each in cut.losers} == {"scores below the minimum"}


async def test_only_the_folder_that_was_asked_for_is_searched() -> None:
    for folder in ("shop", "shop/", "/shop/"):
        context = await explain(path_prefix=folder)
        assert context.snippets and all(each.path.startswith("shop/") for each in (*context.snippets, *context.losers))
    assert not (await explain(path_prefix="sho")).snippets


async def test_a_snippet_says_where_it_is_from_and_which_trace_indexed_it() -> None:
    best = (await explain("discount")).snippets[0]
    assert (best.repository, best.path, best.start_line, best.definitions) == ("shop", "shop/prices.py", 1, ("discount",))
    assert best.blob and best.trace == "00-trace-00" and best.language == "python" and best.header


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (Query(), "question"),
        (Query(question="  "), "question"),
        (Query(question="x", cursor=CodeCursor("a.py", "x")), "question"),
        (Query(question="x", limit=0), "limit"),
        (Query(question="x", limit=10**6), "limit"),
        (Query(question="x", tokens=-1), "tokens"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(query: Query, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await World(SHOP).retrieval().retrieve(scope(*SHOP), query, 60.0)
    assert refused.value.field == field
