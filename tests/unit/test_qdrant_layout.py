"""How points are laid out: nothing of a chunk is lost, and different things never share a name."""

import json
import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nearcode.adapters import qdrant_edge_layout as embedded
from nearcode.adapters import qdrant_layout as layout
from nearcode.adapters.qdrant_collection import Replica, missing
from nearcode.domain.chunk import CHUNKER, Chunk, point_id
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
def test_all_of_a_point_but_its_vectors_comes_back_from_the_packed_form(chunk: Chunk) -> None:
    stored = json.loads(json.dumps(embedded.payload(point(chunk))))
    assert embedded.unpack(stored[embedded.PACKED]) == embedded.Read("id", chunk, 4, "00-t")


@given(CHUNKS, TEXT)
def test_a_points_id_is_the_standard_one_of_its_parts(chunk: Chunk, profile: str) -> None:
    parts = (chunk.repository, chunk.path, chunk.blob, str(chunk.ordinal), CHUNKER, profile)
    assert point_id(chunk, profile) == str(uuid.uuid5(uuid.UUID("6f0a5f3e-6f0c-5f57-9d7b-0f6a3a1f5c11"), "\0".join(parts)))


@given(CHUNKS)
def test_the_digested_part_names_nothing_that_changes_without_the_file(chunk: Chunk) -> None:
    assert not {"live", "generation", "trace"} & set(layout.describe(chunk))


def test_a_chunk_is_searchable_only_while_a_branch_holds_it() -> None:
    chunk = Chunk("r1", "a.py", "b", 0, "python", "module", 1, 1, "x")
    owners = [embedded.payload(point(chunk, live))[embedded.OWNER] for live in (("main",), ())]
    assert [owner == embedded.searchable("r1") for owner in owners] == [True, False]
    assert owners == embedded.belonging("r1")


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


def test_a_store_of_a_newer_program_is_named_as_such() -> None:
    space = IndexSpace("chat", ModelProfile("a", 2))
    newer = {**layout.fingerprint(space), "schema": layout.SCHEMA + 1}
    assert "made by a newer nearcode" in layout.difference(newer, space)


def test_servers_that_are_too_old_or_too_new_are_told_what_to_do() -> None:
    assert "upgrade it to 1.16" in layout.unfit_server("1.15.5")
    assert "upgrade nearcode" in layout.unfit_server("2.0.0")
    for fit in ("1.16.3", "1.17.0-dev", "1.30.1"):
        assert layout.unfit_server(fit) == ""


REPLICAS = st.builds(Replica, st.integers(0, 3), st.integers(1, 4), st.sampled_from(["Active", "Dead", "Partial"]))


@given(st.lists(REPLICAS, unique_by=lambda copy: (copy.shard, copy.peer)), st.sets(st.integers(1, 5)), st.integers(1, 4))
def test_lacking_copies_go_to_nodes_without_one_until_there_are_enough(
    copies: list[Replica], peers: set[int], replicas: int
) -> None:
    peers |= {copy.peer for copy in copies}
    after = list(copies)
    for source, target in missing(copies, peers, replicas):
        assert source in copies and source.state == "Active" and target in peers
        assert not any((copy.shard, copy.peer) == (source.shard, target) for copy in after)
        after.append(Replica(source.shard, target, "Partial"))
    for shard in {copy.shard for copy in copies if copy.state == "Active"}:
        assert len([copy for copy in after if copy.shard == shard]) >= min(replicas, len(peers))
    if all(len([copy for copy in copies if copy.shard == each.shard]) >= replicas for each in copies):
        assert after == copies


def test_an_older_store_is_made_anew_and_a_newer_one_is_left_alone() -> None:
    space = IndexSpace("completion", ModelProfile("a", 2))
    own = embedded.fingerprint(space)
    assert not embedded.is_outdated(own, space)
    assert embedded.is_outdated({**own, "schema": embedded.SCHEMA - 1}, space)
    assert embedded.is_outdated({**own, "profile": "b"}, space)
    assert not embedded.is_outdated({**own, "schema": embedded.SCHEMA + 1, "profile": "b"}, space)
