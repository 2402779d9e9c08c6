"""`nearcode eval` on a small code base: what a person and a script get, and the gate between two releases."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nearcode.evaluating import write

from tests.engines import NEARCODE, environment
from tests.unit.evaluation_tree import ENCODED, FILES


def nearcode(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*NEARCODE, *arguments], env=environment(home), capture_output=True, text=True, timeout=120)


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@shop.example", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shop(home: Path) -> Path:
    """A repository with one change after its beginning."""
    folder = home / "shop"
    write(folder, FILES)
    git(home, "init", "-q", "shop")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Begin the shop")
    (folder / "shop" / "prices.py").write_bytes(FILES["shop/prices.py"].replace(b"0.1", b"0.2"))
    git(folder, "commit", "-qam", "Prices: give twice the discount on an order")
    return folder


@pytest.fixture(scope="module")
def evaluated(home: Path, shop: Path) -> list[dict[str, Any]]:
    """The rows of an evaluation that wrote its questions and answers into the home."""
    files = ["--write-questions", str(home / "questions.jsonl"), "--out", str(home / "before.json")]
    done = nearcode(home, "eval", str(shop), "--json", *files)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kind_of_question_has_a_row_with_its_interval(evaluated: list[dict[str, Any]]) -> None:
    assert [row["kind"] for row in evaluated] == ["documentation", "commit", "call", "completion"]
    for row in evaluated:
        assert (row["repository"], row["space"]) == ("shop", "completion")
        name = "recall@2000" if row["kind"] == "completion" else "ndcg@10"
        low, high = row["intervals"][name]
        assert 0 <= low <= row[name] <= high <= 1
        assert {"recall@500", "recall@1000", "recall@2000", "recall@4000"} <= set(row)
    assert evaluated[1]["hit@10"] == 1.0
    assert "lift@2000" in evaluated[3]


def test_nothing_is_left_in_the_users_home(evaluated: list[dict[str, Any]], home: Path) -> None:
    assert {path.name for path in home.iterdir()} <= {"shop", "questions.jsonl", "before.json", "after.json", "logs"}


def test_the_same_questions_are_asked_again_and_the_gate_compares(
    evaluated: list[dict[str, Any]], home: Path, shop: Path
) -> None:
    questions = (home / "questions.jsonl").read_text()
    assert ENCODED in questions
    after = home / "after.json"
    again = nearcode(home, "eval", str(shop), "--questions", str(home / "questions.jsonl"), "--out", str(after))
    assert again.returncode == 0, again.stderr
    assert "documentation" in again.stdout
    same = nearcode(home, "eval", "compare", str(home / "before.json"), str(after), "--fail-below", "-0.01")
    assert same.returncode == 0, same.stderr + same.stdout
    assert "+0.0000" in same.stdout
    worse = json.loads(after.read_text())
    for answer in worse["evaluated"][0]["answers"]:
        answer["metrics"] = {name: value / 2 for name, value in answer["metrics"].items()}
    after.write_text(json.dumps(worse))
    done = nearcode(home, "eval", "compare", str(home / "before.json"), str(after), "--json")
    assert done.returncode == 1
    assert "worse: all questions together lose" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["worse"]


def test_what_is_wrong_is_told_with_its_cure(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, cure in (
        (["eval", str(tmp_path / "empty")], "name a folder with documented code, or with its git history"),
        (["eval", str(tmp_path / "empty"), "--kinds", "riddle"], "documentation, commit, call, completion"),
        (["eval", str(tmp_path / "empty"), "--set", "candidates"], "KEY=VALUE"),
        (["eval", str(tmp_path / "empty"), "--set", "retrieval.candidate=9"], "retrieval.candidates"),
    ):
        done = nearcode(home, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert cure in done.stderr
