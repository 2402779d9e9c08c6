"""Whatever a file holds, its outline is sound: nothing is lost, nothing is made up, and it is the same each time."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.repositories.v1.repositories_pb2 import FILE_STATE_INDEXED, FILE_STATE_SKIPPED
from nearcode.chunking.outline import outline
from nearcode.chunking.shapes import SHAPES
from nearcode.events.cutting import cut

from tests.corpus import hostile

SOURCES = sorted((Path(__file__).parents[1] / "corpus" / "languages").iterdir())
PATHS = [
    "a.py",
    "a.js",
    "a.ts",
    "a.tsx",
    "a.java",
    "a.go",
    "a.rs",
    "a.c",
    "a.h",
    "a.cpp",
    "a.cs",
    "a.rb",
    "a.php",
    "a.sh",
    "a.hs",
    "a.kt",
    "a.swift",
    "a.scala",
    "a.lua",
    "a.ex",
    "a.zig",
    "a.sql",
    "a.html",
    "a.css",
    "a.md",
    "a.fish",
]

fragments = st.sampled_from(
    [
        "class A:\n", "def f(x):\n", "    return 1\n", "\n", "}", "{\n", "function f() {\n", "#", "// c\n", "/* ", "*/\n",
        "é漢", '"', "'", "@d\n", "impl X {\n", "namespace n {\n", "end\n", "module M\n", "\r\n", "\t", "=> ", "struct S {",
        ";\n", "(", ")", "fun f() {\n", "defmodule A do\n", "f :: Int\nf = 1\n", "<div id=\"a\">\n", "</div>\n", ".a {\n",
        "# A\n\n", "create table t (\n", "function f()\n", "fi\n", "$$", "<!--", "-->",
    ]
)  # fmt: skip
sources = st.one_of(
    st.text(max_size=300).map(str.encode),
    st.lists(fragments, max_size=60).map(lambda parts: "".join(parts).encode()),
    st.tuples(st.sampled_from([path.read_bytes() for path in SOURCES]), st.integers(0, 600), st.integers(0, 40)).map(
        lambda cut_out: cut_out[0][: cut_out[1]] + cut_out[0][cut_out[1] + cut_out[2] :]
    ),
)


def pairs(flat: object) -> list[tuple[int, int]]:
    values: list[int] = list(flat)  # type: ignore[call-overload]
    assert len(values) % 2 == 0
    return list(zip(values[::2], values[1::2], strict=True))


def check(found: FileOutline, source: bytes) -> None:
    """Every promise an outline makes."""
    lines = source.split(b"\n")
    assert [chunk.ordinal for chunk in found.chunks] == list(range(len(found.chunks)))
    starts = [chunk.start_byte for chunk in found.chunks]
    assert starts == sorted(starts)
    for chunk in found.chunks:
        assert 0 <= chunk.start_byte < chunk.end_byte <= len(source)
        assert 1 <= chunk.start_line <= chunk.end_line <= len(lines)
        assert source[: chunk.start_byte].count(b"\n") + 1 == chunk.start_line
        assert source[: chunk.end_byte].count(b"\n") + 1 == chunk.end_line
        parts = [chunk.scopes, chunk.signature, chunk.docstring, chunk.definitions, chunk.references, chunk.text]
        for start, end in [span for part in parts for span in pairs(part)]:
            assert 0 <= start <= end <= len(source)
        for start, end in pairs(chunk.definitions) + pairs(chunk.references) + pairs(chunk.text):
            assert chunk.start_byte <= start and end <= chunk.end_byte
        used = [source[start:end] for start, end in pairs(chunk.references)]
        assert len(used) == len(set(used)) <= 64
    for piece, chunk in zip(cut("r", found, source), found.chunks, strict=True):
        if not chunk.text and b"\r" not in source:
            whole = b"\n".join(lines[chunk.start_line - 1 : chunk.end_line]).decode()
            assert piece.text == whole
        assert all(name in piece.text for name in piece.definitions)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), sources)
def test_any_text_has_a_sound_outline(path: str, source: bytes) -> None:
    found = outline(path, source)
    assert found.state == FILE_STATE_INDEXED or found.reason
    check(found, source)
    assert outline(path, source).SerializeToString() == found.SerializeToString()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PATHS), st.binary(max_size=200))
def test_any_bytes_have_an_outline(path: str, source: bytes) -> None:
    check(outline(path, source), source)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_line_of_code_is_lost(path: Path) -> None:
    source = path.read_bytes()
    found = outline(path.stem, source)
    check(found, source)
    shown = {line for chunk in found.chunks for line in range(chunk.start_line, chunk.end_line + 1)}
    lost = [text for number, text in enumerate(source.split(b"\n"), 1) if number not in shown]
    assert all(not text.strip(b"{}; \n") or text.startswith((b"end", b"}  //", b"mod tests", b"namespace")) for text in lost)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"x = 1\0", "binary"),
        (b"x = '\xff\xfe'\n", "not UTF-8 text"),
        (b"\xff\xfex\0=\0", "binary"),
        (b"var a=1;" * 1_000, "minified"),
        (b"x = 1\n" + b"y" * 20_000, "minified"),
    ],
)
def test_a_file_that_is_no_code_is_left_out_with_its_reason(source: bytes, reason: str) -> None:
    found = outline("a.js", source)
    assert (found.state, found.reason, len(found.chunks)) == (FILE_STATE_SKIPPED, reason, 0)


@pytest.mark.parametrize("source", [b"", b"\n \n"])
def test_an_empty_file_is_indexed_without_chunks(source: bytes) -> None:
    found = outline("a.py", source)
    assert (found.state, found.reason, len(found.chunks)) == (FILE_STATE_INDEXED, "empty", 0)


def test_a_kind_of_file_that_is_not_indexed_says_so() -> None:
    found = outline("logo.png", b"# Notes\n")
    assert (found.state, found.reason) == (FILE_STATE_SKIPPED, "not a kind of file that is indexed")


def test_one_long_literal_does_not_hide_a_file() -> None:
    source = b"def f():\n    return 1\n" * 2_000 + b"KEY = '" + b"x" * 20_000 + b"'\n"
    found = outline("a.py", source)
    check(found, source)
    assert found.state == FILE_STATE_INDEXED
    assert all(len(chunk.text) <= 16_384 for chunk in cut("r", found, source))


def test_a_long_function_becomes_several_chunks_that_all_know_their_name() -> None:
    body = "".join(f"    step_{number}()\n" + ("\n" if number % 10 == 9 else "") for number in range(300))
    source = f"class A:\n    x = 1\n\n    def run(self):\n{body}".replace("    step", "        step").encode()
    found = outline("a.py", source)
    check(found, source)
    parts = [chunk for chunk in cut("r", found, source) if chunk.kind == "method"]
    assert len(parts) >= 5 and all(part.end_line - part.start_line < 60 for part in parts)
    assert all("def run(self):" in part.header and part.scopes == ("A",) for part in parts)
    assert "".join(part.text for part in parts).count("step_") == 300


def test_a_module_wrapped_in_one_function_is_cut_along_the_functions_inside() -> None:
    inner = "".join(f"  function part{number}() {{\n    return {number}\n  }}\n\n" for number in range(60))
    found = outline("a.js", f"function wrap(context) {{\n{inner}}}\n".encode())
    assert len([chunk for chunk in found.chunks if chunk.end_line - chunk.start_line == 2]) == 60


def test_a_class_of_many_fields_keeps_them_all() -> None:
    fields = "".join(f"    field_{number} = {number}\n" for number in range(400))
    source = f"class A:\n{fields}\n    def f(self):\n        return 1\n".encode()
    chunks = cut("r", outline("a.py", source), source)
    shown = "\n".join(chunk.text for chunk in chunks)
    assert all(f"field_{number} =" in shown for number in range(400))


def test_windows_begin_with_the_functions_they_hold() -> None:
    source = "".join(f"# About {number}\nf{number}() {{\n" + "  echo hello\n" * 15 + "}\n\n" for number in range(12)).encode()
    found = outline("a.fish", source)
    check(found, source)
    assert all(chunk.text.startswith("# About") and chunk.kind == "lines" for chunk in cut("r", found, source))


@pytest.mark.parametrize("path", sorted({**hostile.nested_parentheses(), **hostile.deep_without_brackets()}))
def test_deep_nesting_does_no_harm(path: str) -> None:
    source = {**hostile.nested_parentheses(), **hostile.deep_without_brackets()}[path]
    check(outline(path, source), source)
    found = outline(path, hostile.in_lines(source))
    check(found, hostile.in_lines(source))
    assert found.state == FILE_STATE_INDEXED and found.chunks


def test_20_000_nested_parentheses_are_cut_by_lines_and_the_reason_is_told() -> None:
    found = outline("deep.py", hostile.in_lines(hostile.nested_parentheses()["deep.py"]))
    assert found.reason == "brackets nested too deeply to parse" and {chunk.kind for chunk in found.chunks} == {"lines"}


def getters(count: int) -> str:
    return "".join(f"    def get_{number}(self):\n        return {number}\n\n" for number in range(count))


def test_small_methods_beside_each_other_are_one_chunk_that_knows_all_their_names() -> None:
    steps = "        step()\n" * 30
    source = f"class A:\n    x = 1\n\n{getters(6)}    def run(self):\n{steps}".encode()
    found = outline("a.py", source, SHAPES["siblings"])
    check(found, source)
    assert [(one.kind, one.definitions[:6]) for one in cut("r", found, source)][1:] == [
        ("method", tuple(f"get_{number}" for number in range(6))),
        ("method", ("run",)),
    ]


def test_merged_methods_stay_short_and_never_reach_over_a_class() -> None:
    inner = "    class B:\n        y = 2\n\n        def deep(self):\n            return 2\n\n"
    source = f"class A:\n    x = 1\n\n{getters(2)}{inner}{getters(40)}".encode()
    found = outline("a.py", source, SHAPES["siblings"])
    check(found, source)
    merged = [one for one in cut("r", found, source) if one.kind == "method"]
    assert all(one.end_line - one.start_line < 40 for one in merged)
    assert not any("deep" in one.text and "get_" in one.text for one in merged)
    assert sum(one.text.count("def get_") for one in merged) == 42


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PATHS), sources, st.sampled_from(sorted(SHAPES)))
def test_every_shape_of_chunks_is_sound(path: str, source: bytes, shape: str) -> None:
    found = outline(path, source, SHAPES[shape])
    check(found, source)
    whole = outline(path, source)
    assert {name for chunk in cut("r", found, source) for name in chunk.definitions} == {
        name for chunk in cut("r", whole, source) for name in chunk.definitions
    }
