"""The load generator's arithmetic: when calls are due, what they are worth, where the knee is."""

import math
import statistics
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.arrivals import CHAT, COMPLETION, KINDS, SEARCH, parse_weights, poisson
from loadtest.figures import WORST_LAG_SECONDS, percentile, run_figures
from loadtest.knee import GOOD_SHARE, PRECISION, KneeSearch
from loadtest.outcomes import ERROR, MISSED, OK, REFUSED, Outcome, ending

MIX = {COMPLETION: 70.0, SEARCH: 20.0, CHAT: 10.0}
GOOD = Outcome(SEARCH, 0.0, 0.001, 1.0, 0.03, OK, "OK", plan="hybrid", sources=3, stages={"search": 12.0})


@given(st.floats(1, 200), st.floats(0.1, 5), st.integers(0, 1000))
def test_a_schedule_is_made_before_the_first_answer_and_the_same_for_a_seed(rate: float, seconds: float, seed: int) -> None:
    arrivals = poisson(rate, seconds, MIX, seed)
    assert arrivals == poisson(rate, seconds, MIX, seed)
    assert [one.at for one in arrivals] == sorted(one.at for one in arrivals)
    assert all(0 < one.at < seconds and one.kind in KINDS for one in arrivals)


def test_a_schedule_offers_its_rate_in_its_mix_and_in_bunches() -> None:
    arrivals = poisson(100.0, 100.0, MIX, seed=7)
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert sum(one.kind == COMPLETION for one in arrivals) == pytest.approx(7_000, rel=0.05)
    gaps = [after.at - before.at for before, after in pairwise(arrivals)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1), "exponential gaps, not a metronome"


@pytest.mark.parametrize("text", ["completion=1,cat=2", "search", "search=-1", "search=0,chat=0"])
def test_a_mix_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_weights(text)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_a_value_that_was_seen_and_enough_are_below_it(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize(
    ("code", "seconds", "how"),
    [
        ("OK", 0.4, OK),
        ("OK", 0.6, MISSED),
        ("DEADLINE_EXCEEDED", 0.5, MISSED),
        ("RESOURCE_EXHAUSTED", 0.01, REFUSED),
        ("UNAVAILABLE", 0.01, ERROR),
        ("LOST", 9.0, ERROR),
    ],
)
def test_how_a_call_ended(code: str, seconds: float, how: str) -> None:
    assert ending(code, seconds, 0.5) == how


@pytest.mark.parametrize(
    "change",
    [{"seconds": 1.1}, {"ended": REFUSED}, {"sources": 0}, {"plan": "in-file"}, {"plan": "empty"}, {"plan": ""}],
)
def test_what_comes_late_or_brings_no_code_is_no_goodput(change: dict[str, object]) -> None:
    assert GOOD.good and GOOD.full
    assert not replace(GOOD, **change).good  # type: ignore[arg-type]


def test_a_cheaper_plan_is_good_but_not_full() -> None:
    cheaper = replace(GOOD, plan="context-only", degraded="DEADLINE_EXCEEDED")
    assert cheaper.good and not cheaper.full


def test_the_figures_of_a_run_count_every_call_once() -> None:
    refused = replace(GOOD, ended=REFUSED, code="RESOURCE_EXHAUSTED", seconds=0.011, lag=0.001, sources=0)
    outcomes = [GOOD] * 6 + [refused] * 3 + [replace(GOOD, kind=CHAT, ended=MISSED, seconds=4.0)]
    run = run_figures(outcomes, rate=5.0, seconds=2.0, admission=True, factor=1.0)
    assert (run.offered, run.goodput, run.share) == (5.0, 3.0, 0.6)
    assert run.ended == {OK: 6, REFUSED: 3, MISSED: 1, ERROR: 0} and sum(run.ended.values()) == len(outcomes)
    assert run.refusal["p50"] == 10.0, "from the moment it was sent: the generator's own lag is not the engine's"
    assert run.kinds[SEARCH]["latency"]["p99"] == 30.0 and run.kinds[CHAT]["latency"]["p50"] is None
    assert run.stages["search"]["p50"] == 12.0 and run.valid


def test_a_run_whose_generator_was_late_is_invalid() -> None:
    late = [replace(GOOD, lag=2 * WORST_LAG_SECONDS)] * 10
    assert not run_figures([GOOD] * 90 + late, rate=1.0, seconds=100.0, admission=True, factor=1.0).valid
    assert run_figures([GOOD] * 99 + late[:1], rate=1.0, seconds=100.0, admission=True, factor=1.0).valid


@given(st.floats(8.1, 5000.0), st.floats(1.0, 64.0))
def test_the_knee_is_found_wherever_it_is(knee: float, start: float) -> None:
    search, runs = KneeSearch(start), 0
    while (rate := search.next_rate()) is not None:
        search.tell(rate, 1.0 if rate <= knee else GOOD_SHARE - 0.1)
        runs += 1
    assert knee / PRECISION * 0.999 <= search.knee <= knee
    assert runs < 40 and len(search.probes) == runs


def test_one_hiccup_does_not_pass_for_the_knee() -> None:
    search, failed = KneeSearch(16.0), False
    while (rate := search.next_rate()) is not None:
        hiccup, failed = rate == 32.0 and not failed, failed or rate == 32.0
        search.tell(rate, 0.5 if hiccup or rate > 100.0 else 1.0)
    assert search.knee > 80.0


def test_an_engine_that_answers_nothing_has_no_knee() -> None:
    search = KneeSearch(16.0)
    while (rate := search.next_rate()) is not None:
        search.tell(rate, 0.5 / rate)
    assert search.knee == 0.0 and search.busiest in dict(search.probes)
