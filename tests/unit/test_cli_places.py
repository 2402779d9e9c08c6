"""Where a cursor stands: 1-based lines and columns, columns in code points."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.cli.places import parse_place, read_source, split_at
from nearcode.domain.errors import InvalidRequest, NotFound

LINE = st.text(
    alphabet=st.one_of(st.sampled_from("aé😀👩‍💻\t "), st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
)


@given(st.lists(LINE, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.data())
def test_every_place_in_a_file_splits_it_there(lines: list[str], ending: str, data: st.DataObject) -> None:
    source = ending.join(lines)
    line = data.draw(st.integers(1, len(lines)))
    column = data.draw(st.integers(1, len(lines[line - 1]) + 1))
    prefix, suffix = split_at(source, line, column)
    assert prefix + suffix == source
    assert prefix.count("\n") == line - 1
    assert len(prefix.split("\n")[-1]) == column - 1


@given(st.lists(LINE, min_size=1, max_size=4), st.integers(1, 10**6))
def test_places_beyond_the_end_are_refused(lines: list[str], beyond: int) -> None:
    source = "\n".join(lines)
    with pytest.raises(InvalidRequest, match="there is no line"):
        split_at(source, len(lines) + beyond, 1)
    with pytest.raises(InvalidRequest, match="there is no column"):
        split_at(source, len(lines), len(lines[-1]) + 1 + beyond)


@given(st.text(min_size=1).filter(lambda name: "\0" not in name), st.integers(1, 10**8), st.integers(1, 10**8))
def test_file_line_column_is_read_back(name: str, line: int, column: int) -> None:
    place = parse_place(f"{name}:{line}:{column}")
    assert (place.file, place.line, place.column) == (Path(name), line, column)


@pytest.mark.parametrize(
    "text", ["", "a.py", "a.py:1", "a.py:x:1", "a.py:1:", ":1:1", "a.py:-1:2", "a.py:1:²", "a.py:1:99999999999"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRequest, match="FILE:LINE:COLUMN"):
        parse_place(text)


@pytest.mark.parametrize("text", ["a.py:0:1", "a.py:1:0"])
def test_counting_begins_with_1(text: str) -> None:
    with pytest.raises(InvalidRequest, match="count from 1"):
        parse_place(text)


def test_a_colon_in_a_name_is_no_separator() -> None:
    assert parse_place("a:b.py:3:4").file == Path("a:b.py")


def test_the_cursor_may_stand_on_the_last_empty_line() -> None:
    assert split_at("a\n", 2, 1) == ("a\n", "")
    assert split_at("", 1, 1) == ("", "")


def test_a_byte_order_mark_is_no_column_and_broken_bytes_are_one_each(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfab\xffc\r\n")
    assert split_at(read_source(tmp_path / "a.py"), 1, 4) == ("ab\ufffd", "c\r\n")


def test_a_missing_file_is_not_found_and_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_source(tmp_path / "gone.py")
    with pytest.raises(InvalidRequest):
        read_source(tmp_path)


def test_a_huge_file_is_cut_around_the_cursor() -> None:
    prefix, suffix = split_at("x" * 10**6, 1, 500_001)
    assert (len(prefix), len(suffix)) == (400_000, 400_000)
