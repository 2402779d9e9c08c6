"""Points, queries and answers as Qdrant's protobuf messages.

Built by hand from the layout: the client's own models cost 0.3 ms of CPU a point and 0.25 ms a hit on the event loop.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as wire

from nearcode.adapters import qdrant_layout as layout
from nearcode.domain.index import DefinitionQuery, DenseQuery, Hit, IndexSpace, LaneQuery, Point, StoredPoint, may_find
from nearcode.domain.principal import Scope

READ = wire.WithPayloadSelector(include=wire.PayloadIncludeSelector(fields=[*layout.CHUNK, layout.TRACE, layout.GENERATION]))
"""What must be read of a point to rebuild its chunk and who wrote it."""

ORDERING = wire.WriteOrdering(type=wire.WriteOrderingType.Medium)
"""Writes of a shard pass through one of its copies, elected anew when its node is lost, so that all copies apply them in one
order. With none (`Weak`) two writers of one point may leave copies that differ for good; with `Strong` nothing is written
while the first copy's node is away."""

EF = 640
"""Candidates that the walk over a graph keeps. Recall@10 over 100 and over 200 repositories, 60,000 clustered points: .984 and
.976 with 128, .996 and .991 with 400, .999 and .995 with 640; it costs milliseconds. int8 vectors cost nothing of it: with the
originals alone the figures are the same to .001 (benchmarks/recall.py)."""

GRAPH = wire.SearchParams(
    hnsw_ef=EF,
    acorn=wire.AcornSearchParams(enable=True),
    quantization=wire.QuantizationSearchParams(rescore=True, oversampling=2.0),
)
"""Finds twice as many as asked by their int8 vectors and orders them by the originals.
Walks over neighbors that a filter hides (ACORN, arXiv 2403.04871; Qdrant 1.16). Without it Recall@10 is 0.89 where a scope
holds a tenth of the points, 20 repositories of 200; with it 1.00 (benchmarks/recall.py)."""


def point(stored: Point, space: IndexSpace) -> wire.PointStruct:
    """A point to write. Raises ValueError for a vector that does not fit."""
    layout.check_vector(stored, space)
    vectors = {
        layout.DENSE: wire.Vector(dense=_dense(stored.vector)),
        layout.LEXICAL: wire.Vector(sparse=_sparse(stored.lexical.indices, stored.lexical.values)),
    }
    return wire.PointStruct(
        id=wire.PointId(uuid=stored.id),
        vectors=wire.Vectors(vectors=wire.NamedVectors(vectors=vectors)),
        payload={key: _value(value) for key, value in layout.payload(stored).items()},
    )


def ranking(collection: str, scope: Scope, query: LaneQuery) -> wire.QueryPoints | None:
    """The request of a lane that ranks by vectors; None if nothing can come of it."""
    if query.limit <= 0 or isinstance(query, DefinitionQuery) or not may_find(scope, query):
        return None
    if isinstance(query, DenseQuery):
        nearest, using = wire.VectorInput(dense=_dense(query.vector)), layout.DENSE
    elif len(query.terms.indices):
        nearest, using = wire.VectorInput(sparse=_sparse(query.terms.indices, query.terms.values)), layout.LEXICAL
    else:
        return None
    return wire.QueryPoints(
        collection_name=collection, query=wire.Query(nearest=nearest), using=using, filter=readable(scope, query),
        limit=query.limit, with_payload=READ, params=GRAPH,
    )  # fmt: skip


def naming(collection: str, scope: Scope, query: LaneQuery) -> wire.ScrollPoints | None:
    """The request of a lane of definitions, which is filtered and not ranked; None for other lanes and for nothing to find."""
    if query.limit <= 0 or not isinstance(query, DefinitionQuery) or not query.names:
        return None
    return wire.ScrollPoints(collection_name=collection, filter=readable(scope, query), limit=query.limit, with_payload=READ)


def readable(scope: Scope, query: LaneQuery) -> wire.Filter:
    """Live points of the scope's repositories, below the query's path prefix, with one of its names or among its files."""
    must = [_any(layout.REPOSITORY, sorted(scope.repositories))]
    if not isinstance(query, DefinitionQuery) and query.near:
        must += [_equals(layout.REPOSITORY, query.near.repository), _any(layout.PATH, query.near.paths)]
    if below := layout.folder(query.path_prefix):
        inside = wire.Filter(should=[_equals(layout.DIRECTORIES, below), _equals(layout.PATH, below)])
        must.append(wire.Condition(filter=inside))
    if isinstance(query, DefinitionQuery):
        must.append(_any(layout.DEFINITIONS, query.names))
    dead = wire.Condition(is_empty=wire.IsEmptyCondition(key=layout.LIVE))
    return wire.Filter(must=must, must_not=[dead])


def belonging(repository: str) -> wire.Filter:
    """All points of a repository."""
    return wire.Filter(must=[_equals(layout.REPOSITORY, repository)])


def outdated(repository: str, keep: Mapping[str, str | None], before: int) -> wire.Filter:
    """Other versions of these paths that `before` or an earlier generation wrote."""
    written = wire.FieldCondition(key=layout.GENERATION, range=wire.Range(lte=before))
    others = [wire.Condition(filter=_other_version(path, blob)) for path, blob in keep.items()]
    return wire.Filter(must=[_equals(layout.REPOSITORY, repository), wire.Condition(field=written)], should=others)


def hit(found: wire.ScoredPoint | wire.RetrievedPoint) -> Hit:
    """A found point; one that was only filtered scores 1."""
    payload = _plain(found.payload)
    score = found.score if isinstance(found, wire.ScoredPoint) else 1.0
    return Hit(found.id.uuid, layout.chunk_of(payload), score, payload.get(layout.TRACE, ""), payload[layout.GENERATION])


def stored(found: wire.RetrievedPoint) -> StoredPoint:
    """A scanned point."""
    vector = found.vectors.vectors.vectors[layout.DENSE]
    values = vector.dense.data or vector.data  # servers before 1.16 fill the latter
    payload = _plain(found.payload)
    for name in (layout.TRACE, layout.GENERATION):  # not part of the digest
        payload.pop(name, None)
    return StoredPoint(found.id.uuid, payload, np.array(values, np.float32).tobytes())


def _other_version(path: str, blob: str | None) -> wire.Filter:
    kept = [_equals(layout.BLOB, blob)] if blob is not None else []
    return wire.Filter(must=[_equals(layout.PATH, path)], must_not=kept)


def _equals(field: str, value: str) -> wire.Condition:
    return wire.Condition(field=wire.FieldCondition(key=field, match=wire.Match(keyword=value)))


def _any(field: str, values: Iterable[str]) -> wire.Condition:
    match = wire.Match(keywords=wire.RepeatedStrings(strings=values))
    return wire.Condition(field=wire.FieldCondition(key=field, match=match))


def _dense(vector: NDArray[np.float32]) -> wire.DenseVector:
    return wire.DenseVector(data=vector.tolist())


def _sparse(indices: NDArray[np.uint32], values: NDArray[np.float32]) -> wire.SparseVector:
    return wire.SparseVector(indices=indices.tolist(), values=values.tolist())


def _value(value: object) -> wire.Value:
    if isinstance(value, str):
        return wire.Value(string_value=value)
    if isinstance(value, int):
        return wire.Value(integer_value=value)
    assert isinstance(value, list)
    return wire.Value(list_value=wire.ListValue(values=[wire.Value(string_value=item) for item in value]))


def _plain(payload: Mapping[str, wire.Value]) -> dict[str, Any]:
    """Strings, numbers and lists of strings, as the layout wrote them."""
    plain: dict[str, Any] = {}
    for key, value in payload.items():
        kind = value.WhichOneof("kind")
        if kind == "list_value":
            plain[key] = [item.string_value for item in value.list_value.values]
        else:
            plain[key] = value.string_value if kind == "string_value" else value.integer_value
    return plain
