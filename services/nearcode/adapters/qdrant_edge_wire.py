"""What travels between `qdrant_edge.py` and its child: plain values, and vectors as bytes."""

from typing import Any, NamedTuple


class Batch(NamedTuple):
    """Points to store. `dense` is float32, one vector after another; point i owns `terms[ends[i-1]:ends[i]]` (uint32) and
    the same slice of `weights` (float32)."""

    ids: list[str]
    dense: bytes
    terms: bytes
    weights: bytes
    ends: list[int]
    payloads: list[dict[str, Any]]


class Lane(NamedTuple):
    """A query by a dense vector, by sparse terms or by names, below a folder or file, maybe of some files of one repository."""

    limit: int
    below: str
    dense: bytes = b""
    terms: bytes = b""
    weights: bytes = b""
    names: tuple[str, ...] = ()
    repository: str = ""
    paths: tuple[str, ...] = ()


class Answer(NamedTuple):
    """What lanes found: the points, each once and packed, and for each lane their places among them with its scores, best
    first."""

    points: list[str]
    lanes: list[list[tuple[int, float]]]


class Page(NamedTuple):
    """Points of a scan, packed; their float32 vectors one after another; and where to go on."""

    points: list[str]
    vectors: bytes
    following: str | None
