"""What the load generator asks: sentences and places of the code that is indexed."""

from pathlib import Path

import pytest

from loadtest.questions import places, questions

CODE = Path(__file__).parents[2] / "services" / "nearcode" / "retrieval"


def test_questions_are_sentences_of_the_code_and_the_same_for_a_seed() -> None:
    asked = questions(CODE, 50, seed=1)
    assert asked == questions(CODE, 50, seed=1) != questions(CODE, 50, seed=2)
    text = "".join(path.read_text() for path in CODE.rglob("*.py"))
    assert all(one in text and one.count(" ") >= 3 for one in asked)


def test_a_place_cuts_a_file_in_two() -> None:
    for place in places(CODE, 50, seed=1):
        assert place.prefix + place.suffix == (CODE / place.path).read_text()


def test_code_without_a_sentence_or_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="--repo"):
        questions(tmp_path, 1, seed=1)
    with pytest.raises(ValueError, match="--repo"):
        places(tmp_path, 1, seed=1)
