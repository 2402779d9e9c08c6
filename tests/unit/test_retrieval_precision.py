"""How likely an answer is useful is said, and code that does not answer is not passed off as an answer."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.retrieval import CodeCursor, Query
from nearcode.retrieval.calibration import Curve, Model, judge, load_models, snippet_evidence
from nearcode.retrieval.question import read_question
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unit.retrieval_world import SHOP, World, scope

NONSENSE = "zygomorphic quasar tessellation of the mitochondrial lighthouse"
numbers = st.floats(-5, 5)
evidence = st.dictionaries(st.sampled_from(["nearest", "covered", "margin", "unknown words"]), numbers, min_size=1)
curves = st.builds(Curve, numbers, evidence)
snippet_curves = st.builds(Curve, numbers, st.dictionaries(st.sampled_from(["answer", "behind", "rank"]), numbers))
cutoffs = st.floats(0, 1)


async def test_a_question_that_nothing_answers_gets_no_useful_context() -> None:
    context = await World(SHOP).retrieval().retrieve(scope(*SHOP), Query(question=NONSENSE), 60.0)
    assert not context.useful and not context.snippets
    assert context.probability < 0.2


async def test_an_issue_is_answered_though_much_of_it_is_found_nowhere() -> None:
    report = (
        f"{NONSENSE}\n\n```python\nbasket.checkout()\n```\nTraceback (most recent call last):\n  {NONSENSE}, see the cart\n" * 2
    )
    assert read_question(report).issue
    context = await World(SHOP).retrieval().retrieve(scope(*SHOP), Query(question=report), 60.0)
    assert context.useful and context.snippets


async def test_what_was_found_anyway_can_be_asked_for_and_is_still_called_useless() -> None:
    context = await World(SHOP).retrieval().retrieve(scope(*SHOP), Query(question=NONSENSE, everything=True), 60.0)
    assert not context.useful and context.snippets


async def test_explaining_no_useful_context_names_what_was_left_out_and_why() -> None:
    context = await World(SHOP).retrieval().explain(scope(*SHOP), Query(question=NONSENSE), 60.0)
    assert not context.snippets and context.losers
    assert {each.lost_because for each in context.losers} == {"is unlikely to be useful"}
    assert context.evidence["unknown words"] > 0.9


@pytest.mark.parametrize("question", ["discount of an item", "send_receipt", "withdraw an amount from the account"])
async def test_a_question_that_the_code_answers_is_answered_with_its_probability(question: str) -> None:
    context = await World(SHOP).retrieval().retrieve(scope(*SHOP), Query(question=question), 60.0)
    assert context.useful and context.snippets
    assert context.probability > 0.5
    assert context.snippets[0].probability > 0.25


async def test_a_question_to_an_empty_repository_gets_no_useful_context() -> None:
    context = await World({"empty": {}}).retrieval().retrieve(scope("empty"), Query(question="discount"), 60.0)
    assert not context.useful and not context.snippets


@pytest.mark.parametrize(
    "query",
    [
        Query(question="cart total of an item", everything=True),
        Query(question=NONSENSE, everything=True),
        Query(
            cursor=CodeCursor("shop/new.py", "from shop.prices import discount\n\ndef pay(item):\n    return "), everything=True
        ),
    ],
)
async def test_a_lower_score_is_never_more_likely_useful(query: Query) -> None:
    context = await World(SHOP).retrieval().explain(scope(*SHOP), query, 60.0)
    said = [each.probability for each in (*context.snippets, *context.losers)]
    assert len(said) > 2
    assert said == sorted(said, reverse=True)
    assert all(0.0 <= each <= 1.0 for each in said)


@given(
    st.builds(Model, curves, snippet_curves, cutoffs, cutoffs),
    evidence,
    st.lists(numbers, max_size=20).map(lambda scores: sorted(scores, reverse=True)),
)
def test_whatever_was_learned_probabilities_fall_with_the_score(
    model: Model, shown: dict[str, float], scores: list[float]
) -> None:
    verdict = judge(model, shown, scores)
    assert list(verdict.snippets) == sorted(verdict.snippets, reverse=True)
    assert all(0.0 <= each <= 1.0 for each in (*verdict.snippets, verdict.probability))
    assert verdict.useful == (verdict.kept > 0)
    if scores and shown:  # to the bit what the curve says of each by itself
        logit = model.answer.logit(shown)
        each_by_itself = [
            model.snippet.probability(snippet_evidence(logit, scores[0], *one[::-1])) for one in enumerate(scores)
        ]
        assert list(verdict.snippets) == list(accumulate(each_by_itself, min))
    assert all(each >= model.snippet_cutoff for each in verdict.snippets[: verdict.kept])


def test_every_kind_of_query_has_a_model_that_says_what_it_was_learned_from() -> None:
    plans = [f"{plan} {scope}" for plan in ("hybrid", "lexical") for scope in ("one", "several")]
    assert load_models().keys() == {*(f"question {each}" for each in plans), "cursor hybrid one", "cursor lexical one"}


async def test_each_result_names_the_lanes_that_found_it_with_their_rank_and_score() -> None:
    context = await World(SHOP).retrieval().explain(scope(*SHOP), Query(question="send_receipt"), 60.0)
    lanes = {find.lane: find for find in context.snippets[0].lanes}
    assert lanes.keys() == {"dense", "lexical", "definition"}
    assert (lanes["lexical"].rank, lanes["definition"].rank) == (1, 1)
    assert 0.0 < lanes["dense"].score <= 1.0
    everything = (*context.snippets, *context.losers)
    for lane in ("dense", "lexical"):
        finds = sorted((find.rank, -find.score) for each in everything for find in each.lanes if find.lane == lane)
        assert [rank for rank, _ in finds] == list(range(1, len(finds) + 1))
        assert finds == sorted(finds, key=lambda find: find[1])


async def test_near_misses_say_what_kept_each_of_them_out() -> None:
    long = "\n".join(f"def total_{number}(cart):\n    return sum(cart) + {number}\n" + "\n" * 5 for number in range(6))
    cart, mail = "def cart_total(cart):\n    return total(cart)\n", "def send(cart):\n    pass\n"
    world = World({"till": {"till/sums.py": long, "till/cart.py": cart, "till/mail.py": mail}})

    async def lost(**wishes: float) -> dict[str, int]:
        query = Query(question="cart total", everything=True, **wishes)  # type: ignore[arg-type]
        context = await world.retrieval().explain(scope("till"), query, 60.0)
        reasons = [each.lost_because for each in context.losers]
        return {reason: reasons.count(reason) for reason in reasons}

    assert "another chunk of its file ranks higher" in await lost(limit=3)
    assert "does not fit the token budget" in await lost(tokens=40)
    assert (await lost(min_score=100.0)).keys() == {"scores below the minimum"}
    assert "others rank higher" in await lost(limit=1)


async def test_the_trace_holds_the_explanation_without_any_code(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("nearcode.retrieval.service.tracer", provider.get_tracer("test"))
    query = Query(question="cart total of an item", limit=2)
    context = await World(SHOP).retrieval().retrieve(scope(*SHOP), query, 60.0)
    (span,) = [each for each in exporter.get_finished_spans() if each.name == "rank"]
    results = [dict(event.attributes or {}) for event in span.events if event.name == "nearcode.result"]
    assert [each["nearcode.chunk.id"] for each in results] == [each.id for each in context.snippets]
    for told, snippet in zip(results, context.snippets, strict=True):
        gained = [value for name, value in told.items() if name.startswith("nearcode.reason.")]
        assert sum(float(str(value)) for value in gained) == told["nearcode.score"] == snippet.score
        assert told["nearcode.lane.dense"] == {find.lane: find.rank for find in snippet.lanes}["dense"]
    assert any("nearcode.lost_because" in (event.attributes or {}) for event in span.events)
    assert (span.attributes or {})["nearcode.answer.probability"] == context.probability
    said = str([span.attributes, *(event.attributes for event in span.events)])
    assert not any(word in said for word in ("cart.py", "discount", "def ", "shop"))
    assert len(span.events) <= 20
