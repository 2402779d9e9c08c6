"""What a transformer reads of code and of questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.index import ModelProfile
from nearcode.domain.model_input import model_text, split_identifiers

PLAIN = ModelProfile("plain", 4)
ASKING = ModelProfile("asking", 4, query_prefix="Find code: ", document_prefix="Code: ")


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("getHTTPResponse2", "get HTTP Response 2"),
        ("snake_case_name", "snake case name"),
        ("MAX_RETRIES", "MAX RETRIES"),
        ("self._open(path)", "self.open(path)"),
        ("__init__", "init"),
        ("_ = f(_)", "_ = f(_)"),
        ("XMLHttpRequest.send()", "XML Http Request.send()"),
        ("if (a<b) { return 0xFF; }", "if (a<b) { return 0xFF; }"),
        ("größeÄndern", "größe Ändern"),
        ("日本語_テスト", "日本語 テスト"),
        ("", ""),
    ],
)
def test_identifiers_become_words_and_the_rest_stays(code: str, read: str) -> None:
    assert split_identifiers(code) == read


def _letters(text: str) -> str:
    return "".join(text.replace("_", "").split())


@given(st.text() | st.from_regex(r"[A-Za-z0-9_ .(){}\n]*", fullmatch=True))
def test_nothing_but_spaces_and_underscores_changes(text: str) -> None:
    assert _letters(split_identifiers(text)) == _letters(text)


@given(st.text(st.characters(), max_size=300))
def test_any_text_can_be_sent_as_utf_8(text: str) -> None:
    model_text(text, ASKING, query=True).encode("utf-8")


def test_questions_and_documents_have_the_prefix_that_the_model_was_trained_with() -> None:
    assert model_text("openFile", ASKING, query=True) == "Find code: open File"
    assert model_text("openFile", ASKING, query=False) == "Code: open File"
    assert model_text("\ud800", PLAIN, query=True) == "�"


def test_a_model_that_knows_identifiers_reads_them_whole() -> None:
    assert model_text("openFile", ModelProfile("whole", 4, split_identifiers=False), query=False) == "openFile"


def test_a_huge_text_is_cut_before_it_is_tokenized() -> None:
    assert len(model_text("x " * 1_000_000, PLAIN, query=False)) < 100_000
