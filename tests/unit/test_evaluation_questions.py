"""The questions that a code base answers: what is asked, what answers, and that nothing gives the answer away."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode import own_code
from nearcode.chunking.outline import outline
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.repository import blob_id
from nearcode.domain.terms import identifiers
from nearcode.evaluating import write
from nearcode.evaluation.commits import request
from nearcode.evaluation.documentation import hide, sentence
from nearcode.evaluation.question import Cut, Kind, Place, Question, code_cursor, dump, load, of_kind, question_id
from nearcode.evaluation.questions import fitting, generate
from nearcode.events.cutting import cut

from tests.unit.evaluation_tree import ENCODED, FILES, commit

QUESTIONS = generate(FILES, outline)


def asked(kind: Kind) -> list[Question]:
    return of_kind(QUESTIONS, kind)


def test_a_function_is_asked_for_by_its_documentation() -> None:
    found = {question.text: question.answers[0] for question in asked(Kind.DOCUMENTATION)}
    place = found[ENCODED]
    lines = FILES["shop/archive.py"].decode().splitlines()
    assert place.path == "shop/archive.py"
    assert lines[place.start_line - 1].startswith("def encode_words")
    assert lines[place.end_line - 1] == "    return short"
    assert "Keeps what customers have said until the law lets us forget it." in found
    assert found["Shows a basket to the customer with every discount spelled out."].path == "web/basket.ts"


def test_go_names_its_functions_in_their_comments_and_the_question_does_not() -> None:
    texts = [question.text for question in asked(Kind.DOCUMENTATION) if question.answers[0].path == "store/ledger.go"]
    assert texts == ["reads the ledger of a year from the disk and checks its sums."]


def test_tests_are_not_asked_for() -> None:
    assert not [question for question in QUESTIONS if any(one.path.startswith("tests/") for one in question.answers)]


def test_what_is_indexed_holds_none_of_the_documentation_that_is_asked() -> None:
    indexed = hide(FILES, QUESTIONS)
    for path, data in indexed.items():
        found = outline(path, data)
        found.file.path, found.file.blob = path, blob_id(data)
        shown = " ".join(f"{chunk.header} {chunk.text}" for chunk in cut("r", found, data))
        for question in asked(Kind.DOCUMENTATION):
            assert question.text not in " ".join(shown.split())
            assert " ".join(question.text.split()[:4]) not in " ".join(shown.split())


def test_hiding_moves_no_line_and_no_byte() -> None:
    for path, data in hide(FILES, QUESTIONS).items():
        assert len(data) == len(FILES[path])
        assert [at for at, byte in enumerate(data) if byte == 10] == [at for at, byte in enumerate(FILES[path]) if byte == 10]


def test_documentation_that_stands_elsewhere_too_is_not_asked() -> None:
    copied = {**FILES, "web/notes.ts": f"// {ENCODED}\nexport const a = 1;\n".encode()}
    assert ENCODED not in [question.text for question in generate(copied, outline, kinds={Kind.DOCUMENTATION})]


def test_a_call_asks_for_the_definition_in_another_file() -> None:
    [question] = [one for one in asked(Kind.CALL) if one.answers[0].path == "shop/prices.py"]
    assert question.cursor is not None
    cursor = code_cursor(question.cursor, FILES[question.cursor.path])
    assert cursor.prefix.endswith("discounted_price(")
    assert cursor.suffix.startswith("\n        archive = SEASON_RATES")
    assert (question.answers[0].start_line, question.answers[0].end_line) == (1, 6)
    assert "web/labels.ts" in {one.answers[0].path for one in asked(Kind.CALL)}


def test_a_completion_asks_for_names_that_its_file_does_not_show_and_another_does() -> None:
    questions = asked(Kind.COMPLETION)
    assert questions
    for question in questions:
        assert question.cursor is not None
        data = FILES[question.cursor.path]
        cursor = code_cursor(question.cursor, data)
        masked = data[question.cursor.start : question.cursor.end].decode()
        for name in question.identifiers:
            assert name in masked
            assert name not in identifiers(f"{cursor.prefix}\n{cursor.suffix}")
            assert any(name.encode() in other for path, other in FILES.items() if path != question.cursor.path)


COMMITS = [
    commit("Keep the words of a customer for one more year (#12)\n\nThe law changed.\n\nSigned-off-by: Ann", "shop/archive.py"),
    commit("Bump version of everything we depend on", "shop/archive.py"),
    commit("Merge the branch of the season into the main one", "shop/archive.py", parents=("p", "q")),
    commit("Renew what the machine renews every week", "shop/archive.py", author="dependabot[bot] <b@x>"),
    commit("Move the whole shop to another place", *[f"shop/{number}.py" for number in range(40)]),
    commit("Let the gone file say what it said before", "shop/gone.py"),
    commit("Typo", "shop/archive.py"),
    commit("fix(web): spell out the discounts of a basket again", "web/basket.ts", "tests/test_archive.py", "CHANGELOG.md"),
]


def test_a_commit_asks_for_the_code_that_it_touched() -> None:
    found = {question.text: question.answers for question in generate(FILES, outline, COMMITS, {Kind.COMMIT})}
    assert found == {
        "Keep the words of a customer for one more year. The law changed.": (Place("shop/archive.py"),),
        "web: spell out the discounts of a basket again.": (Place("web/basket.ts"),),
    }


def test_the_same_seed_draws_the_same_questions_and_the_limit_only_takes_from_the_end() -> None:
    assert generate(FILES, outline) == QUESTIONS
    few = generate(FILES, outline, kinds={Kind.DOCUMENTATION}, limit=2)
    assert few == asked(Kind.DOCUMENTATION)[:2]


def test_one_more_file_does_not_change_which_questions_come_first() -> None:
    more = {**FILES, "shop/zero.py": b"def nothing_at_all(a):\n    b = a\n    c = b\n    return c\n"}
    assert [one.id for one in generate(more, outline, kinds={Kind.DOCUMENTATION})] == [
        one.id for one in asked(Kind.DOCUMENTATION)
    ]


def test_written_questions_are_read_again() -> None:
    lines = [dump("shop", question) for question in QUESTIONS]
    assert load(lines) == {"shop": QUESTIONS}
    for line in lines:
        assert "for item in basket" not in json.loads(line).get("text", "")


def test_a_line_that_is_no_question_is_told() -> None:
    with pytest.raises(InvalidRequest, match="line 2 is no question"):
        load([dump("shop", QUESTIONS[0]), '{"repository": "shop", "kind": "riddle"}'])


def test_questions_of_code_that_changed_are_left_out() -> None:
    blobs = {path: blob_id(data) for path, data in FILES.items()}
    assert fitting(QUESTIONS, blobs) == QUESTIONS
    blobs["shop/archive.py"] = blob_id(b"something else")
    left = fitting(QUESTIONS, blobs)
    assert left
    assert all("shop/archive.py" not in json.dumps(dataclasses.asdict(question)) for question in left)


@pytest.mark.parametrize(
    ("documentation", "name", "text"),
    [
        ('"""Reads a page of the book and counts.\n\n    More.\n    """', "read", "Reads a page of the book and counts."),
        ("/**\n * Reads a {@link Page} of the <b>book</b>.\n * @param x y\n */", "read", "Reads a Page of the book ."),
        ("/// Reads a [`Page`] of the book\n/// slowly.\n///\n/// # Panics", "read", "Reads a Page of the book slowly."),
        ("// Read reads one page of the book slowly.", "Read", "reads one page of the book slowly."),
        ("# Copyright 2020 by the people who wrote this", "read", ""),
        ("// x = y + z; foo(bar); a[1] = b{2}; c->d", "read", ""),
        ("// Short.", "read", ""),
    ],
)  # fmt: skip
def test_documentation_becomes_one_plain_sentence(documentation: str, name: str, text: str) -> None:
    assert sentence(documentation, name) == text


@given(st.text(max_size=300), st.text(max_size=20))
def test_any_text_is_read_as_documentation_and_as_a_message(text: str, name: str) -> None:
    assert "\n" not in sentence(text, name)
    assert len(request(text)) <= 400


@given(st.binary(max_size=200), st.data())
def test_hiding_any_bytes_keeps_the_others(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, len(data)))
    question = Question(question_id("x"), Kind.DOCUMENTATION, "x", hidden=Cut("a", "b", start, end))
    hidden = hide({"a": data}, [question])["a"]
    assert (hidden[:start], hidden[end:]) == (data[:start], data[end:])
    assert not hidden[start:end].strip()
    assert hidden.count(b"\n") == data.count(b"\n")


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@shop.example", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_a_folder_with_history_gives_questions_of_all_kinds_bare_or_checked_out(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    write(folder, FILES)
    git(tmp_path, "init", "-q", "-b", "main", "shop")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Begin the shop")
    (folder / "shop" / "prices.py").write_bytes(FILES["shop/prices.py"].replace(b"0.1", b"0.2"))
    git(folder, "commit", "-qam", "Give twice the discount in the summer of this year")
    found = own_code.questions(folder)
    assert {question.kind for question in found} == set(Kind)
    [change] = of_kind(found, Kind.COMMIT)
    assert (change.text, change.answers) == ("Give twice the discount in the summer of this year.", (Place("shop/prices.py"),))
    git(tmp_path, "clone", "-q", "--bare", "shop", "shop.git")
    assert own_code.questions(tmp_path / "shop.git") == found
