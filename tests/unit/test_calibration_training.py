"""What is learned of an answer's worth: probabilities that hold, and evidence that only speaks in its own direction."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.calibration.fitting import calibration_error, fit, folds, sigmoid


def answers(seed: int, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Three numbers of evidence an answer, the last of them noise, and whether the answer was useful."""
    chance = np.random.default_rng(seed)
    evidence = chance.random((count, 3))
    useful = chance.random(count) < sigmoid(4 * evidence[:, 0] - 3 * evidence[:, 1] - 0.5)
    return evidence, useful.astype(float)


def test_of_a_hundred_answers_said_to_be_useful_with_p_about_100_p_are() -> None:
    evidence, useful = answers(1)
    learned = fit(("near", "far", "noise"), evidence, useful, np.ones(len(useful)), {"near": 1, "far": -1})
    later, were = answers(2)
    assert calibration_error(sigmoid(learned.logits(later)), were, np.ones(len(were))) < 0.04
    assert abs(learned.weights[2]) < 0.3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.tuples(*[st.sampled_from([-1, 0, 1])] * 3))
def test_evidence_never_speaks_against_its_direction(seed: int, signs: tuple[int, int, int]) -> None:
    evidence, useful = answers(seed, 200)
    names = ("near", "far", "noise")
    learned = fit(names, evidence, useful, np.ones(len(useful)), dict(zip(names, signs, strict=True)))
    assert all(weight * sign >= 0.0 for weight, sign in zip(learned.weights, signs, strict=True))


def test_an_evidence_that_never_changes_has_no_weight() -> None:
    evidence, useful = answers(3, 200)
    evidence[:, 2] = 0.7
    assert fit(("a", "b", "c"), evidence, useful, np.ones(200), {}).weights[2] == 0.0


def test_a_package_is_never_in_both_halves_of_a_fold() -> None:
    packages = ["a", "b", "c", "a", "d", "b"]
    held = folds(packages, 3)
    assert np.array(held).sum(0).tolist() == [1] * 6
    for mask in held:
        inside = {package for package, out in zip(packages, mask, strict=True) if out}
        assert not inside & {package for package, out in zip(packages, mask, strict=True) if not out}
