"""What a person sees who changes the model of an index space."""

import json
from pathlib import Path

import pytest
from nearcode.cli import spaces

from tests.unit.cli_engine import FakeProgram, Terminal


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(spaces, "_POLL", 0.0)
    return Terminal(FakeProgram(folder=tmp_path), capsys, monkeypatch)


def test_another_model_is_filled_compared_and_swapped_in(terminal: Terminal) -> None:
    code, out, err = terminal.run("models", "use", "large")
    assert (code, err) == (0, "")
    compared, active, previous = out.splitlines()
    assert "small 0.500, large 0.750" in compared and "90% of the first ten files agree" in compared
    assert active.split() == ["chat", "active", "large", "3/3", "files"]
    assert previous.split() == ["chat", "previous", "small", "3/3", "files"]


def test_a_filled_model_can_wait_for_its_swap(terminal: Terminal) -> None:
    code, out, _ = terminal.run("models", "use", "large", "--no-swap", "--json")
    assert code == 0 and json.loads(out)["building"] == "large"
    code, out, _ = terminal.run("models", "swap", "--json")
    assert code == 0 and json.loads(out)["active"] == "large"


def test_the_model_before_answers_again(terminal: Terminal) -> None:
    terminal.run("models", "use", "large")
    code, out, _ = terminal.run("models", "rollback", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["active"], told["previous"]) == ("small", "large")
    assert told["filled"]["active"] == {"files": 3, "of": 3, "error": ""}


def test_what_cannot_be_done_says_how_it_could(terminal: Terminal) -> None:
    for command, words in (("rollback", "no model was used before small"), ("swap", "begin with `nearcode models use`")):
        code, _, err = terminal.run("models", command)
        assert code == 4 and words in err, err


def test_spaces_are_told_with_what_is_filled(terminal: Terminal) -> None:
    code, out, _ = terminal.run("models", "spaces")
    assert code == 0 and out.split() == ["chat", "active", "small", "3/3", "files"]


def test_two_models_can_be_compared_by_tools(terminal: Terminal) -> None:
    terminal.run("models", "use", "large", "--no-swap")
    code, out, _ = terminal.run("models", "compare", "--json")
    assert code == 0 and json.loads(out) == {
        "questions": 7, "active_profile": "small", "other_profile": "large", "active": 0.5, "other": 0.75, "agreement": 0.9,
    }  # fmt: skip
