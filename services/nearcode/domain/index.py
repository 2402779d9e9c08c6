"""The chunk index and the embedders that feed it."""

from __future__ import annotations  # numpy is named here and not needed: it takes a fifth of a second to load

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearcode.domain.chunk import Chunk
from nearcode.domain.principal import Scope
from nearcode.domain.spaces import collection_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What must be known of an embedding model. `static` models give the same bytes for the same text, whatever the batch.

    `pooling` is cls, mean or last; `max_tokens` are read of a text, the rest is cut off. `split_identifiers`: camelCase and
    snake_case become words before the model's own tokenizer sees them. Prefixes stand before questions and documents.
    """

    name: str
    dimensions: int
    static: bool = False
    pooling: str = "cls"
    max_tokens: int = 512
    query_prefix: str = ""
    document_prefix: str = ""
    split_identifiers: bool = True


@dataclass(frozen=True, slots=True)
class IndexSpace:
    """One collection: the chunks of all repositories under one embedding model."""

    name: str
    profile: ModelProfile

    @property
    def collection(self) -> str:
        """Its key."""
        return collection_key(self.name, self.profile.name)


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: distinct indices (uint32) and their values (float32)."""

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Point:
    """A chunk as it is stored. `generation` fences late writers, `trace` is the traceparent of the indexing trace;
    neither they nor `live` (branches that hold the file version, a pre-filter) are part of the digest."""

    id: str
    chunk: Chunk
    vector: NDArray[np.float32]
    lexical: Sparse
    live: tuple[str, ...]
    generation: int
    trace: str = ""


class Hit(NamedTuple):
    """A stored chunk that a lane found, with that lane's raw score, and the generation that wrote it."""

    id: str
    chunk: Chunk
    score: float
    trace: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Near:
    """Narrows a lane to files of one repository, which the scope must hold for anything to be found."""

    repository: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DenseQuery:
    """The nearest chunks by cosine; of the graph's lane, only among the files `near`."""

    vector: NDArray[np.float32]
    limit: int
    path_prefix: str = ""
    near: Near | None = None


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """The chunks with the largest dot product of weighted terms; of the graph's lane, only among the files `near`."""

    terms: Sparse
    limit: int
    path_prefix: str = ""
    near: Near | None = None


@dataclass(frozen=True, slots=True)
class DefinitionQuery:
    """Chunks that define one of these names; all score 1."""

    names: tuple[str, ...]
    limit: int
    path_prefix: str = ""


LaneQuery = DenseQuery | LexicalQuery | DefinitionQuery


def may_find(scope: Scope, query: LaneQuery) -> bool:
    """Whether the scope holds anything that the query asks for."""
    near = None if isinstance(query, DefinitionQuery) else query.near
    return bool(scope.repositories) if near is None else near.repository in scope.repositories and bool(near.paths)


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point as the store holds it, for digests and comparisons."""

    id: str
    payload: Mapping[str, object]
    vector: bytes


class ChunkIndex(Protocol):
    """Stores points and finds them again. Every read takes the scope, and never returns a chunk outside it.

    `identity` differs from that of a store that lay in the same place before and was deleted; empty where nobody knows."""

    space: IndexSpace
    identity: str

    async def upsert(self, points: Sequence[Point]) -> None:
        """Stores points durably; the same point twice equals once. Raises Unavailable."""
        ...

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        """Answers each lane's query, best first, from live chunks of the scope's repositories. Raises Unavailable."""
        ...

    async def retire(self, repository: str, keep: Mapping[str, str | None], before: int) -> None:
        """Deletes, at each path of `keep`, every point whose blob is not the one given (None: all of them), as long as it
        was written by generation `before` or an earlier one."""
        ...

    async def drop(self, repository: str) -> None:
        """Deletes every point of a repository."""
        ...

    def scan(self, repository: str) -> AsyncIterator[StoredPoint]:
        """Every stored point of a repository, in no order, without the fields that are not part of the digest."""
        ...

    async def publish_alias(self) -> None:
        """Points the space's name at this collection, where a store can give names: for people and tools that look into it.
        Which collection answers is said by the space's state."""
        ...

    async def healthy(self) -> bool:
        """Whether the store answers now."""
        ...


@dataclass(frozen=True, slots=True)
class FileTexts:
    """What is embedded of one file: its path and the text of each of its chunks. Embedded together, because a static
    model adds the file's mean and the words of its path to each chunk.

    `counts` are the texts' identifiers with their numbers, if the caller has counted them (domain/terms.py): reading a text
    costs more than the rest of a static embedding, so it is done once."""

    path: str
    texts: tuple[str, ...]
    counts: tuple[Mapping[str, int], ...] = field(default=(), compare=False, repr=False)


class Embedder(Protocol):
    """Text to vectors of unit length, float32."""

    profile: ModelProfile

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        """One array of shape (chunks, dimensions) a file. Raises Unavailable."""
        ...

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        """Shape (dimensions,). `weights` maps term ids to idf scaled to 0..1, for models that use it; a missing term
        weighs 1. Raises Unavailable."""
        ...
