"""The graph's lane: the best chunks of the files around a cursor, and definitions that a question spells otherwise.

Its hits are scored as those of the dense and the lexical lane are, and join them: the graph says where to look, and not what is
good.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nearcode.domain.index import DefinitionQuery, DenseQuery, Hit, LaneQuery, LexicalQuery, Near
from nearcode.domain.repository import Revision
from nearcode.domain.retrieval import CodeCursor
from nearcode.domain.terms import identifiers
from nearcode.retrieval.graph import Graph
from nearcode.retrieval.graphs import Graphs
from nearcode.retrieval.imports import written_imports
from nearcode.retrieval.neighborhood import Neighborhood, Signals, neighborhood

MOST_NEAR = 16
"""Chunks of the files around a cursor that each lane is asked for; each costs about 40 microseconds. Share of the names
still to be written that the context holds, 364 functions of 34 public packages: .434 with 24 of them, .440 with 16, .434 with
12, .437 with 8."""
USED_CHARACTERS = 8_000
"""Characters before the cursor whose names say which files of a large package are meant."""
MOST_GRAPHS = 8
"""Graphs that a question to many repositories waits for, the largest first: names that others define are found exactly."""
MOST_HOMES = 4
"""Repositories that are considered as the one of a new file."""
MOST_SPELLINGS = 24
LONGEST_NAME = 4
"""Words of a question that may be one name: `request context` for RequestContext."""
MOST_WORDS = 60
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class GraphLane:
    """What the lane found, best first, and what the graphs say of any file."""

    dense: Sequence[Hit] = ()
    lexical: Sequence[Hit] = ()
    definition: Sequence[Hit] = ()
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    around: Neighborhood | None = None

    @property
    def hits(self) -> list[Hit]:
        """All that it found, each once, in the order of its best place."""
        places = sorted(
            ((place, hit) for lane in (self.dense, self.lexical, self.definition) for place, hit in enumerate(lane)),
            key=lambda each: each[0],
        )
        return list({hit.id: hit for _, hit in reversed(places)}.values())[::-1]

    def kept(self, keep: Callable[[Sequence[Hit]], list[Hit]]) -> "GraphLane":
        """With those hits only that may be returned."""
        return replace(self, dense=keep(self.dense), lexical=keep(self.lexical), definition=keep(self.definition))

    def signals(self, repository: str, path: str) -> Signals:
        """Of a file, seen from the edited one if there is one."""
        if self.around and self.around.repository == repository:
            return self.around.signals(path)
        graph = self.graphs.get(repository)
        return Signals(central=graph.centrality(path)) if graph else Signals()


def around_cursor(graphs: Mapping[str, Graph], cursor: CodeCursor) -> Neighborhood | None:
    """What lies around it, in the repository that holds the file; of a new file, in that which holds most of its imports."""
    imports = written_imports(cursor.path, cursor.prefix)
    holders = {name: graph for name, graph in graphs.items() if cursor.path in graph} or graphs
    if not holders:
        return None
    home = min(holders)
    if len(holders) > 1:
        _, home = min((-len(graph.resolve(cursor.path, imports)), name) for name, graph in holders.items())
    used = set(identifiers(cursor.prefix[-USED_CHARACTERS:]))
    return neighborhood(home, graphs[home], cursor.path, imports, used)


def spelled_otherwise(graphs: Mapping[str, Graph], names: Sequence[str], question: str) -> tuple[str, ...]:
    """Names that are defined, and that the question names in another case, with other underscores or as several words."""
    words = [found.lower() for found in _WORD.findall(question)[:MOST_WORDS]]
    runs = ["".join(words[at : at + length]) for length in range(2, LONGEST_NAME + 1) for at in range(len(words) - length + 1)]
    spelled = dict.fromkeys(
        each for name in (*names, *runs) for graph in graphs.values() for each in graph.spellings(name) if each not in names
    )
    return tuple(spelled)[:MOST_SPELLINGS]


async def graphs_of(graphs: Graphs, revisions: Mapping[str, Revision], cursor: CodeCursor | None) -> dict[str, Graph]:
    """By repository: those that may hold the edited file, or the largest."""
    served = sorted(revisions.values(), key=lambda each: (-each.file_count(), each.repository))
    if cursor:
        holders = [each for each in served if each.blob(cursor.path) is not None]
        served = (holders or served)[:MOST_HOMES]
    chosen = served[:MOST_GRAPHS]
    made = await asyncio.gather(*map(graphs.of, chosen))
    return {revision.repository: graph for revision, graph in zip(chosen, made, strict=True)}


@dataclass(frozen=True, slots=True)
class GraphQuestion:
    """What the other lanes ask, which this one asks of fewer files."""

    lexical: LexicalQuery
    names: Sequence[str]
    text: str
    cursor: CodeCursor | None


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """What the lane asks of the index, and what the graphs know without it."""

    graphs: Mapping[str, Graph]
    around: Neighborhood | None = None
    queries: Sequence[LaneQuery] = ()

    def lane(self, answers: Sequence[Sequence[Hit]]) -> GraphLane:
        """What came of its queries: at most one of each kind."""
        found = {type(query): hits for query, hits in zip(self.queries, answers, strict=True)}
        dense, lexical, named = (found.get(kind, ()) for kind in (DenseQuery, LexicalQuery, DefinitionQuery))
        return GraphLane(dense, lexical, named, self.graphs, self.around)


def plan_graph(graphs: Mapping[str, Graph], asked: GraphQuestion, nearest: DenseQuery | None) -> GraphPlan:
    """Around a cursor it asks what the other lanes ask, and of a question in words for names that it spells otherwise."""
    if not asked.cursor:
        names = spelled_otherwise(graphs, asked.names, asked.text)
        lexical = asked.lexical
        return GraphPlan(graphs, None, (DefinitionQuery(names, lexical.limit, lexical.path_prefix),) if names else ())
    around = around_cursor(graphs, asked.cursor)
    if around is None:
        return GraphPlan(graphs)
    near = Near(around.repository, around.paths())
    asks = [each for each in (asked.lexical, nearest) if each]
    return GraphPlan(graphs, around, tuple(replace(each, near=near, limit=MOST_NEAR) for each in asks))


def joined(lane: list[Hit] | None, more: Sequence[Hit]) -> list[Hit] | None:
    """A lane with what the graph's lane found beside it, best first. None stays None: a lane that did not answer."""
    if lane is None or not more:
        return lane
    known = {hit.id for hit in lane}
    return sorted((*lane, *(hit for hit in more if hit.id not in known)), key=lambda hit: -hit.score)
