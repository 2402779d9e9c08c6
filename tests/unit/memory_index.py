"""A ChunkIndex in memory, exact, for unit tests."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np
from nearcode.domain.index import (
    DefinitionQuery,
    DenseQuery,
    Hit,
    IndexSpace,
    LaneQuery,
    LexicalQuery,
    Near,
    Point,
    StoredPoint,
)
from nearcode.domain.principal import Scope
from numpy.typing import NDArray


class MemoryIndex:
    """Keeps points in a dict and compares the question with every one of them."""

    def __init__(self, space: IndexSpace, points: Sequence[Point] = ()) -> None:
        self.space, self.identity = space, ""
        self._points: dict[str, Point] = {point.id: point for point in points}
        self._rows: list[Point] = []
        self._matrix: NDArray[np.float32] = np.zeros((0, space.profile.dimensions), np.float32)
        self._postings: dict[int, list[tuple[int, float]]] = {}

    async def upsert(self, points: Sequence[Point]) -> None:
        self._points.update({point.id: point for point in points})
        self._rows = []

    async def search(self, scope: Scope, queries: Sequence[LaneQuery]) -> list[list[Hit]]:
        self._arrange()
        return [self._answer(scope, query) for query in queries]

    def _arrange(self) -> None:
        if len(self._rows) == len(self._points):
            return
        self._rows = [self._points[name] for name in sorted(self._points)]
        self._matrix = np.array([point.vector for point in self._rows], np.float32)
        postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for row, point in enumerate(self._rows):
            for term, value in zip(point.lexical.indices.tolist(), point.lexical.values.tolist(), strict=True):
                postings[term].append((row, value))
        self._postings = dict(postings)

    def _answer(self, scope: Scope, query: LaneQuery) -> list[Hit]:
        scores = self._scores(query)
        order = sorted(scores, key=lambda row: (-scores[row], self._rows[row].id))
        near = None if isinstance(query, DefinitionQuery) else query.near
        kept = [row for row in order if self._readable(scope, self._rows[row], query.path_prefix, near)]
        return [self._hit(row, scores[row]) for row in kept[: query.limit]]

    def _scores(self, query: LaneQuery) -> dict[int, float]:
        if isinstance(query, DenseQuery):
            products = (
                self._matrix.astype(np.float64) * query.vector
            )  # summed row by row: a BLAS product depends on its neighbors
            return dict(enumerate(products.sum(axis=1).tolist())) if self._rows else {}
        if isinstance(query, LexicalQuery):
            scores: dict[int, float] = defaultdict(float)
            for term, weight in zip(query.terms.indices.tolist(), query.terms.values.tolist(), strict=True):
                for row, value in self._postings.get(term, ()):
                    scores[row] += weight * value
            return scores
        assert isinstance(query, DefinitionQuery)
        wanted = set(query.names)
        return {row: 1.0 for row, point in enumerate(self._rows) if wanted & set(point.chunk.definitions)}

    def _readable(self, scope: Scope, point: Point, path_prefix: str, near: Near | None) -> bool:
        if near and (point.chunk.repository != near.repository or point.chunk.path not in near.paths):
            return False
        folder = path_prefix.rstrip("/")
        path = point.chunk.path
        inside = not folder or path == folder or path.startswith(folder + "/")
        return inside and bool(point.live) and point.chunk.repository in scope.repositories

    def _hit(self, row: int, score: float) -> Hit:
        point = self._rows[row]
        return Hit(point.id, point.chunk, score, point.trace, point.generation)

    async def retire(self, repository: str, keep: Mapping[str, str | None], before: int) -> None:
        gone = [
            point.id
            for point in self._points.values()
            if point.chunk.repository == repository
            and point.chunk.path in keep
            and keep[point.chunk.path] != point.chunk.blob
            and point.generation <= before
        ]
        for name in gone:
            del self._points[name]
        self._rows = []

    async def drop(self, repository: str) -> None:
        self._points = {name: point for name, point in self._points.items() if point.chunk.repository != repository}
        self._rows = []

    async def scan(self, repository: str) -> AsyncIterator[StoredPoint]:
        for point in self._points.values():
            if point.chunk.repository == repository:
                payload = json.loads(json.dumps(point.chunk._asdict()))
                yield StoredPoint(point.id, payload, point.vector.tobytes())

    async def publish_alias(self) -> None:
        """Nobody looks."""

    async def healthy(self) -> bool:
        return True
