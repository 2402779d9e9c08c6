"""Scores are what their definitions say; intervals hold the mean; the gate trips when answers are worse, and only then."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.retrieval import Snippet
from nearcode.evaluation.asking import Answer, scores
from nearcode.evaluation.comparison import compare, worse
from nearcode.evaluation.interval import estimate, stratified
from nearcode.evaluation.question import Kind, Place, Question
from nearcode.evaluation.results import ALL, Evaluated, Evaluation, rows
from nearcode.evaluation.scoring import names_found, ndcg, precision, recall

PATHS = st.sampled_from("abc")
LINES = st.tuples(st.integers(1, 12), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SNIPPETS = st.lists(st.tuples(PATHS, LINES), max_size=14)
PLACES = st.lists(st.tuples(PATHS, st.one_of(st.just((0, 0)), LINES)), min_size=1, max_size=5, unique=True)


def snippet(path: str, start: int, end: int, text: str = "word") -> Snippet:
    return Snippet("r", path, "", start, end, 1.0, text)


def made(found: Sequence[tuple[str, tuple[int, int]]]) -> list[Snippet]:
    return [snippet(path, *lines) for path, lines in found]


def brute_hits(path: str, lines: tuple[int, int], place: Place) -> bool:
    own = set(range(lines[0], lines[1] + 1))
    wanted = set(range(place.start_line, place.end_line + 1)) if place.start_line else own
    return path == place.path and bool(own & wanted)


@given(SNIPPETS, PLACES)
def test_ndcg_is_the_sum_over_ranks_that_first_answer_something(found: list, wanted: list) -> None:  # type: ignore[type-arg]
    places = [Place(path, "", *lines) for path, lines in wanted]
    gains = 0.0
    for rank, (path, lines) in enumerate(found[:10]):
        earlier = [place for place in places if any(brute_hits(one[0], one[1], place) for one in found[:rank])]
        new = any(brute_hits(path, lines, place) and place not in earlier for place in places)
        gains += new / math.log2(rank + 2)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(places))))
    assert ndcg(made(found), places) == pytest.approx(gains / ideal)
    assert 0 <= ndcg(made(found), places) <= 1


@given(SNIPPETS, PLACES)
def test_recall_and_precision_count_places_and_characters(found: list, wanted: list) -> None:  # type: ignore[type-arg]
    places = [Place(path, "", *lines) for path, lines in wanted]
    hits = [[brute_hits(one[0], one[1], place) for place in places] for one in found]
    assert recall(made(found), places) == pytest.approx(sum(any(column) for column in zip(*hits, strict=True)) / len(places))
    expected = sum(map(any, hits)) / len(found) if found else None
    assert precision(made(found), places) == (pytest.approx(expected) if found else None)


def test_a_better_order_scores_more() -> None:
    right, wrong = snippet("a", 1, 5), snippet("b", 1, 5)
    assert ndcg([right, wrong], [Place("a", "", 3, 4)]) == 1.0
    assert ndcg([wrong, right], [Place("a", "", 3, 4)]) == pytest.approx(1 / math.log2(3))
    assert ndcg([wrong], [Place("a", "", 3, 4)]) == 0.0
    assert ndcg([snippet("a", 5, 9)], [Place("a", "", 3, 4)]) == 0.0


def test_names_count_where_they_stand_as_names() -> None:
    snippets = [snippet("a", 1, 2, "open_ledger(path)"), snippet("b", 1, 2, "reopen")]
    assert names_found(snippets, ["open_ledger", "path", "open", "reopen"]) == 3


def test_a_larger_budget_never_recalls_less() -> None:
    snippets = [snippet("abc"[number % 3], number, number + 1, "word " * 150) for number in range(1, 20)]
    question = Question("q", Kind.DOCUMENTATION, "?", answers=(Place("c", "", 9, 9), Place("a", "", 4, 4)))

    def fit(ranked: Sequence[Snippet], tokens: int) -> list[Snippet]:
        return list(ranked[: tokens // 200])

    metrics = scores(question, snippets, fit)
    curve = [metrics[f"recall@{budget}"] for budget in (500, 1000, 2000, 4000)]
    assert curve == sorted(curve)
    assert curve[-1] == 1.0
    assert metrics["hit@10"] == 1.0


def test_lift_is_what_the_context_adds_to_what_the_file_shows() -> None:
    question = Question("q", Kind.COMPLETION, identifiers=("ledger", "sums"), known=6)
    metrics = scores(question, [snippet("a", 1, 2, "ledger = 1")], lambda ranked, _tokens: ranked)
    assert metrics["recall@2000"] == 0.5
    assert metrics["lift@2000"] == pytest.approx(1 / 8)
    assert "ndcg@10" not in metrics


def test_nothing_returned_has_no_precision() -> None:
    question = Question("q", Kind.DOCUMENTATION, "?", answers=(Place("a"),))
    metrics = scores(question, [], lambda ranked, _tokens: ranked)
    assert metrics["recall@500"] == 0.0
    assert "precision@500" not in metrics


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_an_interval_holds_its_mean_and_stays_among_the_values(values: list[float]) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert min(values) - 1e-9 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= max(values) + 1e-9


def test_an_interval_is_as_wide_as_theory_says() -> None:
    values = [0.0, 1.0] * 200
    found = estimate(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(400), rel=0.05)


def test_repositories_are_equally_heavy() -> None:
    assert stratified([[1.0] * 10, [0.0] * 1000]).mean == pytest.approx(0.5)
    assert stratified([]).count == 0


def evaluation(*values: float, space: str = "completion", repository: str = "shop", kind: Kind = Kind.COMMIT) -> Evaluation:
    name = "recall@2000" if kind is Kind.COMPLETION else "ndcg@10"
    answers = tuple(Answer(f"q{number}", kind, {name: value}) for number, value in enumerate(values))
    return Evaluation("1.0", {}, (Evaluated(repository, space, 1, 2, 0.5, answers),))


def test_the_same_answers_are_not_worse() -> None:
    before = evaluation(*[0.5] * 40)
    differences = compare(before, before)
    assert [one.change.mean for one in differences] == [0.0, 0.0]
    assert worse(differences, -0.01) == []


def test_worse_answers_trip_the_gate_for_their_kind_and_for_all() -> None:
    failed = worse(compare(evaluation(*[0.5] * 40), evaluation(*[0.4] * 40)), -0.01)
    assert [(one.kind, round(one.change.mean, 6)) for one in failed] == [("commit", -0.1), (ALL, -0.1)]
    assert worse(compare(evaluation(*[0.5] * 40), evaluation(*[0.6] * 40)), -0.01) == []


def test_one_kind_that_is_worse_by_chance_does_not_trip_the_gate_alone() -> None:
    mixed = compare(evaluation(*[0.5] * 20), evaluation(*[0.0, 0.95] * 10))
    assert [one.kind for one in worse(mixed, -0.01)] == [ALL]
    assert [one.kind for one in worse(mixed, -0.1)] == []


def test_only_questions_of_both_sides_count() -> None:
    [change, _] = compare(evaluation(0.5, 0.5, 0.9), evaluation(0.7, 0.7))
    assert (change.change.count, round(change.change.mean, 6)) == (2, 0.2)
    with pytest.raises(InvalidRequest, match="share no question"):
        compare(evaluation(0.5), evaluation(0.5, repository="other"))


def test_results_are_written_and_read_again() -> None:
    before = evaluation(0.25, 0.5)
    assert Evaluation.load(before.dump(), "x") == before
    with pytest.raises(InvalidRequest, match="nearcode eval PATH --out FILE"):
        Evaluation.load("{}", "x.json")


def test_several_repositories_have_a_row_together() -> None:
    first, second = evaluation(1.0, 1.0), evaluation(0.0, repository="other")
    found = rows((*first.evaluated, *second.evaluated))
    assert [(row.repository, row.metrics["ndcg@10"].mean) for row in found] == [("shop", 1.0), ("other", 0.0), (ALL, 0.5)]
