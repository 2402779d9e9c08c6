"""How a point lies in Qdrant: field names, vectors, indexes, payload to chunk and back. Pure, and light enough for a child.

The server's payload is plain: every field can be filtered. That of the embedded store is packed: `qdrant_edge_layout.py`.
"""

import hashlib
import re
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from nearcode.domain.chunk import Chunk

if TYPE_CHECKING:
    from nearcode.domain.index import IndexSpace, Point

SCHEMA = 1
"""Rises with each change that older points do not fit."""

OLDEST_SERVER = (1, 16)
"""The first Qdrant with ACORN and with metadata of a collection."""
FOREIGN_SERVER = (2, 0)
"""Qdrant keeps its API within a major version."""
HNSW_M = 16
"""Edges of the whole graph and of each tenant's. With a tenant graph only, a query over several repositories loses its
recall (1.00, 0.48, 0.21, 0.03 for 1, 2, 5, 20 repositories on 60,000 points)."""
SCANNED_POINTS = 100_000
"""A question to at most so many points of a segment compares its vector with each of them instead of walking over the graph.
50,000 of 300,000 points, 50 repositories of 300: 7 ms of CPU and all of the best ten, where the walk took 13 ms and found .988
(docs/index-layout.md). Qdrant's own default is 10,000 points of 256 dimensions."""
SEGMENTS = 8
"""Segments of a shard that are not merged with each other. Qdrant's own default is the number of cores, two at least: on two
each merge takes the largest segment along, and its graph is built anew."""
QUANTILE = 0.99
"""Share of the components' values that int8 spans: outliers are clipped, so that they do not coarsen the rest."""

DENSE = "dense"
LEXICAL = "lexical"

REPOSITORY = "repository"
PATH = "path"
BLOB = "blob"
LIVE = "live"
DEFINITIONS = "definitions"
DIRECTORIES = "directories"
GENERATION = "generation"
TRACE = "trace"

KEYWORDS = (REPOSITORY, LIVE, PATH, BLOB, DEFINITIONS, DIRECTORIES)
"""Fields with a keyword index on the server; `repository` is the tenant. References and imports have none while no lane filters
by them: of a point's bytes they would be the most. An index that is added here is made at the next start."""

IN_MEMORY = (REPOSITORY, LIVE)
"""Indexes that every query needs. The others lie on disk: in memory they would take as much as all the rest of a point."""

CHUNK = (
    REPOSITORY, PATH, BLOB, "ordinal", "language", "kind", "start_line", "end_line", "text", "header",
    "scopes", DEFINITIONS, "references", "imports",
)  # fmt: skip
"""The fields of a chunk itself."""

_LISTS = ("scopes", DEFINITIONS, "references", "imports")
_UNUSABLE = re.compile(r"[^A-Za-z0-9-]+")


def collection_name(prefix: str, space: "IndexSpace") -> str:
    """`nearcode_completion_<profile>`: a profile name that has to be bent into a collection name keeps a hash of itself."""
    profile = space.profile.name
    plain = _UNUSABLE.sub("-", profile).strip("-")
    if plain != profile:
        plain = f"{plain}-{hashlib.sha256(profile.encode()).hexdigest()[:8]}"
    return f"{prefix}_{space.name}_{plain}"


def fingerprint(space: "IndexSpace") -> dict[str, object]:
    """What is written beside the points when a store is made, and compared when it is opened."""
    return {"schema": SCHEMA, "profile": space.profile.name, "dimensions": space.profile.dimensions}


def scanned_kilobytes(space: "IndexSpace") -> int:
    """The same as Qdrant counts it: kilobytes of vectors."""
    return SCANNED_POINTS * space.profile.dimensions * 4 // 1024


def difference(found: Mapping[str, object], space: "IndexSpace") -> str:
    """How a store's fingerprint differs from what this program needs; empty when it fits."""
    if is_newer(found, SCHEMA):
        return f"it was made by a newer nearcode (layout {found.get('schema')}; this one knows {SCHEMA})"
    wanted = fingerprint(space)
    return ", ".join(f"{key} is {found.get(key)}, not {value}" for key, value in wanted.items() if found.get(key) != value)


def is_newer(found: Mapping[str, object], known: int) -> bool:
    """Whether a later version of this program made the store: one with a layout beyond the `known`."""
    schema = found.get("schema")
    return isinstance(schema, int) and schema > known


def unfit_server(version: str) -> str:
    """Why a Qdrant server of this version cannot be used and what to do; empty when it can."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_SERVER:
        return f"too old, upgrade it to {'.'.join(map(str, OLDEST_SERVER))} or newer, one minor version at a time"
    if numbers >= FOREIGN_SERVER:
        return "newer than this nearcode knows, upgrade nearcode or use Qdrant 1.x"
    return ""


def directories(path: str) -> list[str]:
    """Each parent folder of a path: `a/b/c.py` lies in `a` and `a/b`."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def folder(path_prefix: str) -> str:
    """A path prefix names a folder or a file; a slash at its end says nothing more."""
    return path_prefix.rstrip("/")


def check_vector(point: "Point", space: "IndexSpace") -> None:
    """A vector that does not fit is a bug of the embedder: Qdrant itself would take NaN and never find the point again."""
    if point.vector.shape != (space.profile.dimensions,) or not isfinite(float(point.vector.sum())):
        raise ValueError(f"point {point.id} has no finite vector of {space.profile.dimensions} dimensions")


def payload(point: "Point") -> dict[str, Any]:
    """The server's form: all fields, plain."""
    return {
        **describe(point.chunk),
        DIRECTORIES: directories(point.chunk.path),
        LIVE: list(point.live),
        GENERATION: point.generation,
        TRACE: point.trace,
    }


def describe(chunk: Chunk) -> dict[str, Any]:
    """The part of a payload that is the chunk itself, and that a digest is made of."""
    fields = {key: getattr(chunk, key) for key in CHUNK}
    return {key: list(value) if key in _LISTS else value for key, value in fields.items()}


def chunk_of(payload: Mapping[str, Any]) -> Chunk:
    """The chunk of a plain payload."""
    fields = {key: payload[key] for key in CHUNK}
    return Chunk(**{**fields, **{key: tuple(fields[key]) for key in _LISTS}})
