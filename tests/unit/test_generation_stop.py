"""Where a completion ends: what the editor is given, and what it is spared."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.retrieval import CodeCursor
from nearcode.generation.stop import StopRules, StopStream

END = ("<|endoftext|>", "<file_sep>")


def completed(prefix: str, suffix: str, pieces: list[str], typed: str = "") -> tuple[str, bool]:
    stream = StopStream(StopRules.at(CodeCursor("a.py", prefix, suffix), END, typed))
    text = "".join(stream.feed(piece) for piece in pieces)
    done = stream.done
    return text + stream.finish(), done


@pytest.mark.parametrize(
    ("prefix", "suffix", "written", "shown"),
    [
        pytest.param("x = ", "\n", "1 + 2\ny = 3\n", "1 + 2", id="one line in the middle of a statement"),
        pytest.param(
            "def f():\n", "", "    return 1\n\ndef g():\n", "    return 1", id="a function's body, not the next function"
        ),
        pytest.param("def f():", "\n", "\n    return 1\nx = 2\n", "\n    return 1", id="the body after the colon"),
        pytest.param("if (x) {", "", "\n  a();\n}\nb();\n", "\n  a();\n}", id="braces close on the opener's column"),
        pytest.param("def f():\n    a()\n    ", "", "b()\n    c()\nd()\n", "b()\n    c()", id="stops where the block is left"),
        pytest.param("a()\n", "\nc()\n", "b()\nc()\nd()\n", "b()", id="stops at the line that follows the cursor"),
        pytest.param("a()\n", "b()\n", "b()\n", "", id="offers nothing when it would only repeat the next line"),
        pytest.param("foo(", ")\n", "a, b)\n", "a, b", id="a bracket that is there already is not doubled"),
        pytest.param("foo(", ")\n", "g(x))\n", "g(x)", id="a bracket of its own stays"),
        pytest.param('a["', '"]\n', 'key"]\n', "key", id="a quote and bracket that are there already"),
        pytest.param("x = 1", "\n", "<|endoftext|>noise", "", id="the end token"),
        pytest.param("x = ", "", "1<file_sep>other.py\n", "1", id="another file begins"),
        pytest.param("", "", "a\n\n\n\nb\n", "a", id="a run of blank lines"),
        pytest.param(
            "def f():\n", "", "    p()\n    p()\n    p()\n    p()\n", "    p()\n    p()", id="the same line again and again"
        ),
        pytest.param("x = '", "", "ab" * 30, "ab" * 6, id="the same word again and again"),
        pytest.param("x = 1", "\n", "   \n\n", "", id="white space is no completion"),
        pytest.param("def f():\n    a()\n", "", "    b()   \n\n", "    b()", id="no white space at the end"),
    ],
)
def test_completion_ends_where_a_person_would_end_it(prefix: str, suffix: str, written: str, shown: str) -> None:
    assert completed(prefix, suffix, [written])[0] == shown


def test_indentation_before_the_cursor_is_not_doubled() -> None:
    assert completed("def f():\n    ", "", ["    return", " 1\n"], typed="    ")[0] == "return 1"


def test_first_line_is_shown_while_it_is_written() -> None:
    stream = StopStream(StopRules.at(CodeCursor("a.py", "return ", ""), END))
    assert [stream.feed(piece) for piece in ("self", ".name", "\n")] == ["self", ".name", ""]
    assert stream.done


WORDS = [*"ab(){}[]:,= \n\t\"'", "    ", "\n    ", "return ", "<|endof", "text|>", "ab\n"]
CODE = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)
PLACES = st.tuples(CODE, CODE, st.sampled_from(["", " ", "    "]))


@given(place=PLACES, written=CODE, cuts=st.lists(st.integers(0, 300), max_size=12))
@settings(max_examples=400, deadline=None)
def test_how_the_text_was_split_changes_nothing(place: tuple[str, str, str], written: str, cuts: list[int]) -> None:
    prefix, suffix, typed = place
    at = sorted({min(cut, len(written)) for cut in cuts} | {0, len(written)})
    pieces = [written[a:b] for a, b in pairwise(at)]
    assert completed(prefix, suffix, pieces, typed)[0] == completed(prefix, suffix, list(written), typed)[0]
    assert completed(prefix, suffix, pieces, typed)[0] == completed(prefix, suffix, [written], typed)[0]


@given(place=PLACES, written=CODE)
@settings(max_examples=200, deadline=None)
def test_no_end_token_is_ever_shown(place: tuple[str, str, str], written: str) -> None:
    shown = completed(place[0], place[1], list(written), place[2])[0]
    assert not any(token in shown for token in END)
