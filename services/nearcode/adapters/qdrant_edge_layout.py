"""How a point lies in the embedded store: its payload, its indexes, the file beside it. Light enough for a child.

The binding converts a payload value by value, and the store reads a payload whole: so there are few values, and one of them is
all that a hit is made of (docs/decisions/embedded-index.md has what others cost).
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nearcode.adapters import qdrant_layout as server
from nearcode.domain.chunk import Chunk

if TYPE_CHECKING:
    from nearcode.domain.index import IndexSpace, Point

SCHEMA = 2
"""Rises with each change that older points do not fit: an older store is deleted at the start, and made anew."""

DENSE, LEXICAL = server.DENSE, server.LEXICAL

OWNER = "repository"
"""The repository, and whether any branch holds the file version (`searchable` or `belonging`): one condition then says both
that a point is in scope and that it is live, which halves the time of a filtered search."""
PATH, DEFINITIONS = server.PATH, server.DEFINITIONS
PACKED = "chunk"
"""Everything that a hit is made of: JSON, then the text as it is."""

KEYWORDS = (OWNER, PATH, DEFINITIONS)
"""Fields with a keyword index; `path` also answers prefixes, so that it needs no folders."""

FINGERPRINT = "index.json"
"""The file with a store's fingerprint, and its identity."""
IDENTITY = "identity"
"""The key of what is drawn when a store is made."""

_LIVE, _DEAD = "+", "-"
_DECODE = json.JSONDecoder().raw_decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Read(NamedTuple):
    """A stored point without its vectors."""

    id: str
    chunk: Chunk
    generation: int
    trace: str


def fingerprint(space: "IndexSpace") -> dict[str, object]:
    """What is written beside the points when a store is made, and compared when it is opened."""
    return {**server.fingerprint(space), "schema": SCHEMA}


def is_outdated(found: Mapping[str, object], space: "IndexSpace") -> bool:
    """Whether another model or an older version of this program made the store."""
    other = found.get("schema") != SCHEMA or found.get("profile") != space.profile.name
    return other and not server.is_newer(found, SCHEMA)


def searchable(repository: str) -> str:
    """The owner of a repository's points that may be found."""
    return _LIVE + repository


def belonging(repository: str) -> list[str]:
    """Every owner of a repository's points."""
    return [_LIVE + repository, _DEAD + repository]


def payload(point: "Point") -> dict[str, Any]:
    """What is stored of a point."""
    chunk = point.chunk
    head = (
        point.id, point.generation, point.trace, chunk.header,
        chunk.scopes, chunk.definitions, chunk.references, chunk.imports,
        chunk.repository, chunk.path, chunk.blob, chunk.ordinal, chunk.language, chunk.kind, chunk.start_line, chunk.end_line,
    )  # fmt: skip
    return {
        OWNER: (_LIVE if point.live else _DEAD) + chunk.repository,
        PATH: chunk.path,
        DEFINITIONS: list(chunk.definitions),
        PACKED: _ENCODE(head) + chunk.text,
    }


def unpack(packed: str) -> Read:
    """The point of a `PACKED` value."""
    head, text = _DECODE(packed)
    id, generation, trace, header, scopes, definitions, references, imports, *place = head
    place += packed[text:], header, tuple(scopes), tuple(definitions), tuple(references), tuple(imports)
    return Read(id, Chunk(*place), generation, trace)
