"""Points to fill a chunk index with, and what a search over them must find."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from nearcode.domain.chunk import Chunk, point_id
from nearcode.domain.index import (
    ChunkIndex,
    DefinitionQuery,
    DenseQuery,
    IndexSpace,
    LaneQuery,
    LexicalQuery,
    ModelProfile,
    Near,
    Point,
    Sparse,
)
from nearcode.domain.principal import Principal, Scope
from numpy.typing import NDArray

SPACE = IndexSpace("completion", ModelProfile("static/test@1", 16, static=True))


def scope(*repositories: str) -> Scope:
    """What a user who may read these repositories, and more, asks for."""
    return Principal("user", 1, frozenset({*repositories, "another"})).scope(repositories) if repositories else nothing()


def nothing() -> Scope:
    """The scope of a user who may read nothing."""
    return Principal("stranger", 1, frozenset()).scope()


@dataclass
class Maker:
    """Makes points from a seed."""

    seed: int = 7
    space: IndexSpace = SPACE
    _numbers: np.random.Generator = field(init=False)
    _choices: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = np.random.default_rng(self.seed)
        self._choices = random.Random(self.seed)

    def vector(self) -> NDArray[np.float32]:
        """A random unit vector."""
        vector = self._numbers.standard_normal(self.space.profile.dimensions).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))

    def terms(self, count: int = 12) -> Sparse:
        """Some of 60 terms, spread over all of uint32."""
        indices = np.unique(self._numbers.integers(0, 60, count).astype(np.uint32) * np.uint32(71_582_788))
        return Sparse(indices, self._numbers.random(len(indices)).astype(np.float32) + np.float32(0.1))

    def point(
        self, repository: str = "r1", path: str = "src/app.py", blob: str = "b1", ordinal: int = 0, *, generation: int = 1,
        live: tuple[str, ...] = ("main",), definitions: tuple[str, ...] = ("load",),
    ) -> Point:  # fmt: skip
        """One point; what is not given is random."""
        chunk = Chunk(
            repository, path, blob, ordinal, "python", "function", ordinal + 1, ordinal + 9,
            f"def load(): # {self._numbers.integers(1_000_000)}\n", f"{path}\nclass Store:", ("Store",), definitions,
            ("open", "read"), ("os", "json"),
        )  # fmt: skip
        trace = f"00-{self.seed:032x}-{ordinal:016x}-01"
        return Point(point_id(chunk, self.space.profile.name), chunk, self.vector(), self.terms(), live, generation, trace)

    def many(self, count: int, repositories: Sequence[str]) -> list[Point]:
        """Points over files of these repositories; a few of them live in no branch."""
        return [
            self.point(
                self._choices.choice(repositories),
                f"{self._choices.choice(['src', 'src/web', 'src-old', 'docs', 'src/web/app'])}/f{number % 7}.py",
                f"b{number}",
                number,
                live=() if self._choices.random() < 0.15 else ("main", "next")[: 1 + number % 2],
                definitions=tuple(self._choices.sample(["load", "save", "parse", "größe"], number % 3)),
            )
            for number in range(count)
        ]

    def query(self) -> LaneQuery:
        """A random lane's question with a random limit, below a random path."""
        below = self._choices.choice(["", "", "src", "src/", "src/web", "docs/f1.py", "nowhere"])
        limit = self._choices.choice([1, 5, 50])
        kind = self._choices.randrange(3)
        if kind == 0:
            return DenseQuery(self.vector(), limit, below, self.near())
        if kind == 1:
            return LexicalQuery(self.terms(6), limit, below, self.near())
        return DefinitionQuery(tuple(self._choices.sample(["load", "save", "größe", "absent"], 2)), limit, below)

    def near(self) -> Near | None:
        """Some files of a repository that the scope may not hold, maybe none; or no such narrowing."""
        paths = ["src/app.py", "src/web/f0.py", "src/web/f1.py", "docs/f1.py", "docs/f2.py", "gone.py"]
        chosen = tuple(self._choices.sample(paths, self._choices.randint(0, len(paths))))
        return self._choices.choice([None, Near(self._choices.choice(["r1", "r2", "another", "foreign"]), chosen)])

    def scope(self, repositories: Sequence[str]) -> Scope:
        """Some of these repositories, maybe none."""
        return scope(*self._choices.sample(repositories, self._choices.randint(0, len(repositories))))


def readable(points: Iterable[Point], where: Scope, query: LaneQuery) -> list[Point]:
    """The points that may answer a query."""
    below = query.path_prefix.rstrip("/")
    near = None if isinstance(query, DefinitionQuery) else query.near
    return [
        point
        for point in points
        if point.live
        and point.chunk.repository in where.repositories
        and (near is None or (point.chunk.repository == near.repository and point.chunk.path in near.paths))
        and (not below or point.chunk.path == below or point.chunk.path.startswith(below + "/"))
    ]


def expected(points: Iterable[Point], where: Scope, query: LaneQuery) -> dict[str, float]:
    """Every point that may answer with its score, by brute force."""
    candidates = readable(points, where, query)
    if isinstance(query, DenseQuery):
        return {point.id: float(point.vector @ query.vector) for point in candidates}
    if isinstance(query, DefinitionQuery):
        return {point.id: 1.0 for point in candidates if set(point.chunk.definitions) & set(query.names)}
    weights = dict(zip(query.terms.indices.tolist(), query.terms.values.tolist(), strict=True))
    scores = {
        point.id: sum(
            weights.get(term, 0.0) * value
            for term, value in zip(point.lexical.indices.tolist(), point.lexical.values.tolist(), strict=True)
        )
        for point in candidates
    }
    return {identity: score for identity, score in scores.items() if score > 0}


async def stored_ids(index: ChunkIndex, repository: str = "r1") -> list[str]:
    """Ids of all points that a repository has, sorted."""
    return sorted([point.id async for point in index.scan(repository)])
