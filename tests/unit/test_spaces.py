"""Which model answers for a space, whatever is asked of it in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.errors import Conflict
from nearcode.domain.spaces import SpaceState

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sampled_from("abc")),
        st.tuples(st.sampled_from(["swap", "roll_back", "abandon"]), st.just("")),
    ),
    max_size=20,
)


@given(STEPS)
def test_there_is_always_one_model_that_answers_and_no_model_has_two_roles(steps: list[tuple[str, str]]) -> None:
    state = SpaceState("chat", "a")
    for step, profile in steps:
        try:
            state = getattr(state, step)(*([profile] if profile else []))
        except Conflict:
            continue
        assert state.active
        assert len(set(state.profiles)) == len(state.profiles)
        assert SpaceState.load(state.dump()) == state


def test_a_swap_and_a_roll_back_end_where_they_began() -> None:
    state = SpaceState("chat", "a").use("b")
    assert state.swap().roll_back().active == "a"
    assert state.swap().roll_back().roll_back().active == "b"


def test_two_models_are_not_filled_at_once() -> None:
    with pytest.raises(Conflict, match="b is being filled"):
        SpaceState("chat", "a").use("b").use("c")


def test_using_the_model_that_answers_changes_nothing() -> None:
    assert SpaceState("chat", "a").use("a") == SpaceState("chat", "a")


def test_the_model_before_is_used_again_without_being_filled_twice() -> None:
    swapped = SpaceState("chat", "a").use("b").swap()
    assert swapped.use("a") == SpaceState("chat", "b", building="a")
