"""What a completion reads: lines of the code that was found, chosen so that they tell as many new names as fit."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.domain.chunk import Chunk
from nearcode.domain.index import Hit
from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.retrieval import passages as module
from nearcode.retrieval.beside import read_beside
from nearcode.retrieval.fusion import Candidate
from nearcode.retrieval.names import read_all

CURSOR = CodeCursor("shop/cart.py", "import shop.prices\n\nclass Cart:\n    def total(self):\n        return ")
WORDS = "price rate tax cart total sum discount coupon order item self return = ( ) . 12"
words = st.sampled_from(WORDS.split())
lines = st.lists(words, max_size=12).map(" ".join)
codes = st.lists(lines, min_size=1, max_size=60).map("\n".join)


def passages(ranked: list[Candidate], cursor: CodeCursor, tokens: int, limit: int) -> tuple[list[Snippet], list[Candidate]]:
    """Those of what was ranked for a cursor."""
    return module.passages(ranked, cursor, read_beside(cursor), tokens, limit)


def candidate(text: str, number: int = 0, score: float = 1.0, path: str = "") -> Candidate:
    """A candidate whose text begins at line 11 of its file."""
    path = path or f"shop/file{number}.py"
    chunk = Chunk("r", path, "b", number, "python", "function", 11, 11 + text.count("\n"), text, header=path)
    found = Candidate(Hit(f"id{number}", chunk, score))
    found.add("lexical", score)
    return found


def ranked(texts: list[str]) -> list[Candidate]:
    return [candidate(text, number, 1.0 / (1 + number)) for number, text in enumerate(texts)]


@settings(deadline=None, max_examples=50)
@given(st.lists(codes, max_size=12), st.integers(1, 600), st.integers(1, 10))
def test_passages_never_take_more_than_they_may_and_are_the_very_lines_of_their_files(
    texts: list[str], tokens: int, limit: int
) -> None:
    found, _ = passages(ranked(texts), CURSOR, tokens, limit)
    assert len(found) <= limit
    assert sum(names.costs.sum() for names in read_all([one.text for one in found])) <= tokens + 1e-3
    for one in found:
        whole = texts[int(one.path.removeprefix("shop/file").removesuffix(".py"))].split("\n")
        assert one.text == "\n".join(whole[one.start_line - 11 : one.end_line - 10])


@settings(deadline=None, max_examples=50)
@given(st.lists(codes, max_size=8), st.integers(50, 600))
def test_no_line_is_shown_twice_and_what_is_not_shown_is_told(texts: list[str], tokens: int) -> None:
    candidates = ranked(texts)
    found, left = passages(candidates, CURSOR, tokens, 10)
    shown = [(one.path, line) for one in found for line in range(one.start_line, one.end_line + 1)]
    assert len(shown) == len(set(shown))
    told = {one.path for one in found} | {one.hit.chunk.path for one in left}
    assert told == {one.hit.chunk.path for one in candidates}


@settings(deadline=None, max_examples=50)
@given(st.lists(codes, min_size=1, max_size=8))
def test_reasons_still_sum_to_the_score(texts: list[str]) -> None:
    found, _ = passages(ranked(texts), CURSOR, 400, 10)
    assert all(sum(one.reasons.values()) == one.score for one in found)


def test_the_same_question_has_the_same_answer() -> None:
    chance = random.Random(1)
    texts = [
        "\n".join(f"    {chance.choice('abcdef')}_name{chance.randrange(99)} = price({n})" for n in range(20)) for _ in range(9)
    ]
    assert passages(ranked(texts), CURSOR, 300, 5) == passages(ranked(texts), CURSOR, 300, 5)


def test_what_the_file_says_already_takes_no_room() -> None:
    known = "def total(self):\n    return Cart\n" * 3
    new = "def net_price(order):\n    return order.gross_price - order.value_added_tax"
    found, _ = passages(ranked([known, new]), CURSOR, 60, 1)
    assert [one.path for one in found] == ["shop/file1.py"]


def test_lines_about_what_stands_at_the_cursor_come_before_lines_about_something_else() -> None:
    cursor = CodeCursor("shop/cart.py", "def refund_voucher(voucher, ledger):\n")
    other = "def paint(canvas):\n    canvas.stroke_width = palette.lightness\n    canvas.flush_pixels()"
    alike = "def cancel_voucher(voucher, ledger):\n    ledger.reverse_entry(voucher.booking)\n    voucher.mark_void()"
    found, _ = passages(ranked([other, alike]), cursor, 45, 1)
    assert [one.path for one in found] == ["shop/file1.py"]


def test_code_without_a_single_name_is_no_reason_to_fail() -> None:
    assert passages(ranked(["( ) = 12", "+"]), CURSOR, 100, 10)[0] == []


def test_a_second_copy_of_the_same_code_is_not_shown() -> None:
    code = "def net_price(order):\n    return order.gross_price - order.value_added_tax"
    found, _ = passages(ranked([code, code]), CURSOR, 2_000, 10)
    assert len(found) == 1


def test_of_a_long_function_the_lines_that_say_something_are_taken() -> None:
    silent = "\n".join("    self = self" for _ in range(40))
    telling = "    order.gross_price = order.net_price + order.value_added_tax"
    [one], _ = passages(ranked([f"{silent}\n{telling}\n{silent}"]), CURSOR, 120, 1)
    assert telling in one.text
    assert one.end_line - one.start_line < 12


def test_nothing_found_is_nothing_to_read() -> None:
    assert passages([], CURSOR, 100, 10) == ([], [])
