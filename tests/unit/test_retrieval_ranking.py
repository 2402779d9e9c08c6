"""What somebody who asks sees first, and why."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.index import Hit
from nearcode.domain.retrieval import CodeCursor, Context
from nearcode.retrieval.cursor import read_cursor
from nearcode.retrieval.diversity import AGAIN, spread
from nearcode.retrieval.features import FEATURES, features
from nearcode.retrieval.fusion import ChatLane, Lanes, fuse, gather
from nearcode.retrieval.question import read_question
from nearcode.retrieval.ranker import CHAT_FEATURES, load_weights, rank_by, weights_for
from nearcode.retrieval.ranking import rank
from nearcode.retrieval.reading import Asked, Reading

from tests.unit.retrieval_world import SHOP, World, cut_file

SHOP_HITS = [Hit(f"{chunk.path}:{chunk.ordinal}", chunk, 0.0)
             for repository in SHOP for path, text in SHOP[repository].items()
             for chunk in cut_file(repository, path, text, lines=3)]  # fmt: skip


def paths(context: Context) -> list[str]:
    return [snippet.path for snippet in context.snippets]


def lane(scores: list[float]) -> list[Hit]:
    hits = [Hit(hit.id, hit.chunk, score) for hit, score in zip(SHOP_HITS, scores, strict=False)]
    return sorted(hits, key=lambda hit: -hit.score)


scores = st.lists(st.floats(-1.0, 30.0), max_size=len(SHOP_HITS))


@settings(max_examples=200, deadline=None)
@given(
    st.none() | scores, st.none() | scores, st.sampled_from(["discount(", "total = cart.total", "from shop import mail\nmail."])
)
def test_reasons_sum_exactly_to_the_score(dense: list[float] | None, lexical: list[float] | None, before: str) -> None:
    intent = read_cursor(CodeCursor("shop/orders.py", before, ""))
    assert intent.edited
    lanes = Lanes(None if dense is None else lane(dense), None if lexical is None else lane(lexical), SHOP_HITS[:3])
    fused = fuse(lanes, intent.symbolic, attainable=3.0)
    words = dict.fromkeys(intent.stems, 1.0 / max(1, len(intent.stems)))
    ranked = rank(fused.candidates, intent, intent.edited, words, fused.unit)
    assert [candidate.score for candidate in ranked] == sorted((candidate.score for candidate in ranked), reverse=True)
    for candidate in ranked:
        reasons = list(candidate.reasons.values())
        random.Random(7).shuffle(reasons)
        assert sum(reasons) == candidate.score


@settings(max_examples=100, deadline=None)
@given(st.none() | scores, st.none() | scores, st.none() | scores)
def test_reasons_of_a_learned_order_sum_exactly_to_the_score(
    dense: list[float] | None, lexical: list[float] | None, chat: list[float] | None
) -> None:
    intent = read_question("how is the total of a cart tested")
    spoken = None if chat is None else ChatLane(lane(chat), frozenset(SHOP))
    lanes = Lanes(None if dense is None else lane(dense), None if lexical is None else lane(lexical), SHOP_HITS[:3], spoken)
    found, words = gather(lanes), dict.fromkeys(intent.stems, 1.0 / len(intent.stems))
    ranked = rank_by(weights_for(lanes), found, features(found, lanes, Reading(Asked.read(intent, words))), 1.0)
    assert [candidate.score for candidate in ranked] == sorted((candidate.score for candidate in ranked), reverse=True)
    for candidate in ranked:
        reasons = list(candidate.reasons.values())
        random.Random(7).shuffle(reasons)
        assert sum(reasons) == candidate.score


@given(st.lists(st.integers(0, len(SHOP_HITS) - 1), max_size=12), st.integers(0, len(SHOP_HITS)))
def test_it_makes_no_difference_which_chunks_were_read_ahead(ahead: list[int], parts: int) -> None:
    intent = read_question("how is the total of a cart tested, and `Ledger.post`?")
    asked = Asked.read(intent, dict.fromkeys(intent.stems, 1.0 / len(intent.stems)))
    reading, whole = Reading(asked), Reading(asked)
    reading.read([SHOP_HITS[at] for at in ahead[:parts]])
    reading.read([SHOP_HITS[at] for at in ahead[parts:]])
    assert reading.held(SHOP_HITS) == whole.held(SHOP_HITS)
    assert [reading.placed(hit.chunk.path) for hit in SHOP_HITS] == [whole.placed(hit.chunk.path) for hit in SHOP_HITS]


def test_a_transformer_shares_what_vectors_count_and_adds_nothing() -> None:
    alone, beside = weights_for(Lanes()), weights_for(Lanes(chat=ChatLane([])))
    assert sum(beside.values()) == pytest.approx(sum(alone.values()))
    assert set(CHAT_FEATURES.values()) == set(beside) - set(alone)


def test_every_learned_weight_is_of_a_known_feature() -> None:
    assert set(load_weights()) <= set(FEATURES)


async def test_a_name_finds_its_definition_first() -> None:
    context = await World(SHOP).ask("discount")
    assert paths(context)[0] == "shop/prices.py"
    assert context.snippets[0].reasons["definition lane"] > 0


async def test_a_question_in_words_finds_the_file_that_answers() -> None:
    assert paths(await World(SHOP).ask("how are receipts mailed to an address?"))[0] == "shop/mail.py"


async def test_a_path_in_the_question_finds_that_file() -> None:
    assert paths(await World(SHOP).ask("what happens in bank/ledger.py"))[0] == "bank/ledger.py"


async def test_tests_come_later_unless_they_are_asked_for() -> None:
    world = World(SHOP)
    assert paths(await world.ask("total of the Cart"))[0] == "shop/cart.py"
    assert paths(await world.ask("test of the Cart total"))[0] == "tests/test_cart.py"


async def test_other_files_come_before_a_second_piece_of_the_same() -> None:
    long = "\n".join(f"def parse_{number}(token):\n    return parse(token)" for number in range(40))
    world = World({"r": {"grammar.py": long, "lexer.py": "def parse_word(token):\n    return parse(token)\n"}})
    assert set(paths(await world.ask("parse a token", limit=2))) == {"grammar.py", "lexer.py"}


async def test_scores_lie_about_between_0_and_1_and_tell_a_good_fit_from_a_bad_one() -> None:
    world = World(SHOP)
    good = (await world.ask("discount of an item price")).snippets[0].score
    bad = (await world.ask("quaternion interpolation kernel")).snippets[0].score
    assert 0.0 < bad < good / 2 < 1.0


async def test_a_cursor_gets_what_its_file_imports_and_uses() -> None:
    context = await World(SHOP).at("shop/checkout.py", "from shop.prices import discount\n\n\ndef pay(item):\n    return ")
    assert paths(context)[0] == "shop/prices.py"
    assert context.snippets[0].reasons["imported"] > 0
    assert context.snippets[0].reasons["near folder"] > 0


async def test_a_cursor_never_gets_its_own_file() -> None:
    text = SHOP["shop"]["shop/cart.py"]
    context = await World(SHOP).at("shop/cart.py", text[:80], text[80:])
    assert context.snippets and "shop/cart.py" not in paths(context)


async def test_an_empty_file_still_gets_context() -> None:
    context = await World(SHOP).at("shop/cart_page.py", "")
    assert context.snippets


@pytest.mark.parametrize("question", ["???", "==>", "你好", "\u0000", "the", "a" * 100_000])
async def test_odd_questions_are_answered(question: str) -> None:
    assert (await World(SHOP).ask(question)).plan == "hybrid"


@settings(max_examples=50, deadline=None)
@given(scores, st.dictionaries(st.sampled_from(["dense", "lexical", "file name", "no such feature"]), st.floats(-2.0, 2.0)))
def test_features_that_are_weighed_at_once_count_as_if_one_by_one(dense: list[float], weights: dict[str, float]) -> None:
    lanes, intent = Lanes(lane(dense), lane(dense[::-1])), read_question("discount of a cart")
    at_once, one_by_one = gather(lanes), gather(lanes)
    known = features(at_once, lanes, Reading(Asked.read(intent, {"discount": 0.75, "cart": 0.25})))
    ranked = rank_by(weights, at_once, known, 0.3)
    for at, candidate in enumerate(one_by_one):
        for name, weight in weights.items():
            if name in known:
                candidate.add(name, 0.3 * weight * float(known[name][at]))
    expected = spread(one_by_one, AGAIN)
    assert [(each.hit.id, each.score, each.reasons) for each in ranked] == [
        (each.hit.id, each.score, each.reasons) for each in expected
    ]
