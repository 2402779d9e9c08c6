"""What lies around a file that is being edited: the files that the graph's lane looks among, and why. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from nearcode.domain.graph import Import
from nearcode.retrieval.graph import Graph

MOST_FILES = 64
"""Files that the lane looks among: a store filters by so many paths in a millisecond."""
MOST_OF_A_KIND = 40
"""Files of one kind (imported, alike, neighbors) that are weighed at most."""
REMEMBERED = 64
"""Files of a graph whose surroundings are remembered, about 10 KB each."""
SECOND_HOP = 0.4
"""How far a file is imported that an imported one imports."""
_WEIGHTS: Mapping[str, float] = {
    "imported": 1.0,
    "similar_imports": 0.8,
    "same_folder": 0.5,
    "test": 0.5,
    "similar_name": 0.4,
    "importer": 0.3,
    "central": 0.1,
}
"""Which files the lane looks among if there are more than it may: about how often useful code lies there (RepoCoder, arXiv
2303.12570: 3 to 9 % in imported files, 82 to 88 % in files that import the same, 46 to 60 % in the folder), what is imported
first, because it is few and sure. Ranking weighs for itself."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the graph says of a file, seen from the edited one; each 0 to 1.

    `imported`: 1 if the edited file imports it, less through another. `test`: it is the edited file's test, or tested by it.
    `central`: how much of the repository imports it; the only one that is known of a question in words.
    """

    imported: float = 0.0
    importer: float = 0.0
    similar_imports: float = 0.0
    similar_name: float = 0.0
    same_folder: float = 0.0
    test: float = 0.0
    central: float = 0.0

    @property
    def strength(self) -> float:
        """How much speaks for looking there."""
        return sum(weight * float(getattr(self, name)) for name, weight in _WEIGHTS.items())


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """The files around the edited one, by path."""

    repository: str
    graph: Graph
    around: Mapping[str, Signals] = field(default_factory=dict)

    def paths(self, limit: int = MOST_FILES) -> tuple[str, ...]:
        """Those for which the most speaks, in order of their paths."""
        if len(self.around) <= limit:
            return tuple(sorted(self.around))
        best = sorted(self.around, key=lambda path: (-self.around[path].strength, path))[:limit]
        return tuple(sorted(best))

    def signals(self, path: str) -> Signals:
        """What the graph says of a file, also of one that does not lie around."""
        return self.around.get(path) or Signals(central=self.graph.centrality(path))


def neighborhood(
    repository: str, graph: Graph, path: str, imports: Sequence[Import], used: Collection[str] = ()
) -> Neighborhood:
    """Around the file at `path`, with the imports of its text as it is being edited; the stored ones, if it shows none. `used`:
    names near the cursor. Remembered while the graph lives: from key to key a file imports the same."""
    imports = tuple(imports or graph.written_imports(path))
    direct = graph.resolve(path, imports, used)
    known, key = _known.setdefault(graph, {}), (path, imports, direct)
    if (around := known.get(key)) is None:
        if len(known) >= REMEMBERED:
            known.clear()
        around = known[key] = _around(graph, path, imports, direct)
    return Neighborhood(repository, graph, around)


_known: WeakKeyDictionary[Graph, dict[tuple[str, tuple[Import, ...], tuple[str, ...]], Mapping[str, Signals]]] = (
    WeakKeyDictionary()
)


def _around(graph: Graph, path: str, imports: Sequence[Import], direct: Sequence[str]) -> Mapping[str, Signals]:
    """The files around one, of whose imports `direct` are in the repository."""
    found: dict[str, dict[str, float]] = {}

    def add(paths: Sequence[str], name: str, strength: float) -> None:
        for each in paths[:MOST_OF_A_KIND]:
            if each != path:
                signals = found.setdefault(each, {})
                signals[name] = max(strength, signals.get(name, 0.0))

    add(direct, "imported", 1.0)
    add([far for near in direct[:MOST_OF_A_KIND] for far in graph.imports_of(near)], "imported", SECOND_HOP)
    add(graph.importers_of(path), "importer", 1.0)
    add((*graph.tests_of(path), *graph.tested_by(path)), "test", 1.0)
    add(graph.siblings(path), "same_folder", 1.0)
    for alike in graph.similar_imports(path, imports, MOST_OF_A_KIND):
        add([alike.path], "similar_imports", alike.strength)
    for alike in graph.similar_names(path, MOST_OF_A_KIND):
        add([alike.path], "similar_name", alike.strength)
    return {each: Signals(**signals, central=graph.centrality(each)) for each, signals in found.items()}
