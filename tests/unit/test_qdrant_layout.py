"""How points are laid out: nothing of a chunk is lost, and different things never share a name."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nearcode.adapters import qdrant_layout as layout
from nearcode.domain.chunk import Chunk
from nearcode.domain.index import IndexSpace, ModelProfile, Point, Sparse

TEXT = st.text(max_size=20)
NAMES = st.lists(TEXT, max_size=4).map(tuple)
LINE = st.integers(0, 2**31)
CHUNKS = st.builds(
    Chunk, repository=TEXT, path=TEXT, blob=TEXT, ordinal=LINE, language=TEXT, kind=TEXT, start_line=LINE, end_line=LINE,
    text=TEXT, header=TEXT, scopes=NAMES, definitions=NAMES, references=NAMES, imports=NAMES,
)  # fmt: skip


def point(chunk: Chunk, live: tuple[str, ...] = ("main",)) -> Point:
    sparse = Sparse(np.array([1], np.uint32), np.array([1], np.float32))
    return Point("id", chunk, np.ones(2, np.float32), sparse, live, generation=4, trace="00-t")


@given(CHUNKS)
def test_a_chunk_comes_back_from_the_plain_form(chunk: Chunk) -> None:
    stored = json.loads(json.dumps(layout.payload(point(chunk))))
    assert layout.chunk_of(stored) == chunk


@given(CHUNKS)
def test_a_chunk_and_its_trace_come_back_from_the_packed_form(chunk: Chunk) -> None:
    stored = layout.pack(point(chunk))
    repository, path, blob, definitions, packed = (stored[field] for field in layout.EDGE_READ)
    assert layout.unpack(repository, path, blob, definitions, packed) == (chunk, "00-t")


@given(CHUNKS)
def test_the_digested_part_names_nothing_that_changes_without_the_file(chunk: Chunk) -> None:
    assert not {"live", "generation", "trace"} & set(layout.describe(chunk))


def test_a_chunk_is_searchable_only_while_a_branch_holds_it() -> None:
    chunk = Chunk("r1", "a.py", "b", 0, "python", "module", 1, 1, "x")
    assert layout.pack(point(chunk))[layout.SEARCHABLE] == "r1"
    assert layout.SEARCHABLE not in layout.pack(point(chunk, live=()))


def test_directories_are_all_parents_of_a_path() -> None:
    assert layout.directories("a/b/c.py") == ["a", "a/b"]
    assert layout.directories("c.py") == []


@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_profiles_with_different_names_have_different_collections(one: tuple[str, str], other: tuple[str, str]) -> None:
    names = [layout.collection_name("nearcode", IndexSpace("chat", ModelProfile(name, 2))) for name, _ in (one, other)]
    assert (names[0] == names[1]) == (one[0] == other[0])


def test_a_collection_is_named_after_space_and_profile() -> None:
    assert layout.collection_name("nearcode", IndexSpace("chat", ModelProfile("small-2", 2))) == "nearcode_chat_small-2"


def test_a_store_of_another_model_differs() -> None:
    space = IndexSpace("chat", ModelProfile("a", 2))
    assert layout.difference(layout.fingerprint(space), space) == ""
    assert "dimensions is 2, not 3" in layout.difference(layout.fingerprint(space), IndexSpace("chat", ModelProfile("a", 3)))
