"""A deadline is split over stages, and what a stage does not spend serves the later ones."""

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.budget import Budget, StageReport


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


weights = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 100), min_size=1)
seconds = st.floats(0.001, 60)


@given(seconds, weights)
def test_shares_sum_to_what_is_left(seconds: float, weights: dict[str, float]) -> None:
    budget = Budget(seconds, weights, Clock())
    assert sum(budget.share(name) for name in weights) == pytest.approx(seconds)


@given(seconds, weights, st.data())
def test_stages_that_keep_to_their_shares_end_in_time(seconds: float, weights: dict[str, float], data: st.DataObject) -> None:
    clock = Clock()
    budget = Budget(seconds, weights, clock)
    for name in data.draw(st.permutations(sorted(weights))):
        with budget.stage(name) as share:
            clock.now += share.allotted * data.draw(st.floats(0, 1))
    assert clock.now - budget.started <= seconds * (1 + 1e-9)
    assert all(report.carried_ms >= 0 for report in budget.reports)


@given(seconds, weights, st.data())
def test_a_stage_that_is_quick_never_costs_the_later_ones(
    seconds: float, weights: dict[str, float], data: st.DataObject
) -> None:
    clock = Clock()
    budget = Budget(seconds, weights, clock)
    for name in sorted(weights):
        promised = {later: budget.share(later) for later in weights if later > name}
        with budget.stage(name) as share:
            clock.now += share.allotted * data.draw(st.floats(0, 1))
        for later, before in promised.items():
            assert budget.share(later) >= before * (1 - 1e-6) - 1e-9


@given(seconds, weights, st.floats(1, 10))
def test_a_late_stage_leaves_less_and_never_a_negative_share(seconds: float, weights: dict[str, float], factor: float) -> None:
    clock = Clock()
    budget = Budget(seconds, weights, clock)
    for name in sorted(weights):
        with budget.stage(name) as share:
            clock.now += share.allotted * factor
        assert share.seconds() == pytest.approx(0, abs=1e-9)
        assert budget.remaining() >= 0
        assert all(budget.share(later) >= 0 for later in weights)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=5))
def test_reports_lie_end_to_end_on_the_calls_clock(spent: list[float]) -> None:
    clock = Clock()
    budget = Budget(10, {str(number): 1 for number in range(len(spent))}, clock)
    for number, duration in enumerate(spent):
        with budget.stage(str(number)):
            clock.now += duration
    for number, report in enumerate(budget.reports):
        assert report.start_ms == pytest.approx(sum(spent[:number]) * 1e3, abs=1e-6)
        assert report.spent_ms == pytest.approx(spent[number] * 1e3, abs=1e-6)


def test_a_stage_that_fails_is_reported_too() -> None:
    clock = Clock()
    budget = Budget(1, {"embed": 1}, clock)
    with suppress(ValueError), budget.stage("embed") as share:
        clock.now += 0.25
        share.skipped = True
        raise ValueError
    assert budget.reports == [StageReport("embed", 1000.0, 250.0, 750.0, 0.0, skipped=True)]


def test_a_stage_without_a_weight_gets_nothing() -> None:
    assert Budget(1, {"embed": 1}).share("rerank") == 0
    assert Budget(1, {}).share("embed") == 0


@given(st.floats(0, 1e4))
def test_the_stages_of_a_called_service_move_to_this_calls_clock(offset: float) -> None:
    budget = Budget(1, {})
    budget.adopt([StageReport("dense", 5, 4, 1, start_ms=2)], offset)
    assert budget.reports == [StageReport("dense", 5, 4, 1, start_ms=2 + offset)]
