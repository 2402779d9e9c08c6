"""What a model can do in the time it has: learned from what it did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.generation.profiles import choose
from nearcode.generation.speed import Speed


def test_a_fast_machine_is_given_longer_prompts() -> None:
    speed = Speed(choose("smollm2"))
    before = speed.affordable(2.0)
    for _ in range(10):
        speed.read(200, 200 / 350)
        speed.wrote(40, 40 / 120)
    assert speed.affordable(2.0) > 2 * before
    assert speed.reading == pytest.approx(350, rel=0.1)


def test_a_missed_deadline_counts_at_once() -> None:
    speed = Speed(choose("smollm2"))
    speed.read(100, 2.5, finished=False)
    assert speed.reading == 40


def test_a_slow_spell_is_not_held_against_the_model_for_ever() -> None:
    speed = Speed(choose("smollm2"))
    speed.read(25, 1000.0, finished=False)
    refused = 0
    while speed.until_first(32) > 2.5:
        speed.refused()
        refused += 1
    assert refused < 5


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 100), st.booleans())), st.floats(0, 60))
def test_nothing_that_is_measured_makes_the_estimate_senseless(measured: list[tuple[int, float, bool]], seconds: float) -> None:
    speed = Speed(choose("smollm2"))
    for tokens, took, finished in measured:
        speed.read(tokens, took, finished)
        speed.wrote(tokens, took)
    assert speed.reading > 0 and speed.writing > 0
    assert speed.affordable(seconds) >= 0
