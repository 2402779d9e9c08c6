"""The graphs of the revisions that are asked, each built once, in a thread, and kept."""

import asyncio
from collections import OrderedDict

from nearcode.domain.repository import Revision
from nearcode.retrieval.graph import Graph

MOST_FILES = 40_000
"""Files whose graphs are kept, those of the repositories that were asked last: each takes 5 to 10 kB."""


class Graphs:
    """Gives the graph of a repository. While that of a new revision is being built, the one before still answers: what it
    names wrongly is re-checked like everything else."""

    def __init__(self, most_files: int = MOST_FILES) -> None:
        self._most = most_files
        self._kept: OrderedDict[str, tuple[Revision, Graph]] = OrderedDict()
        self._building: dict[str, asyncio.Task[Graph]] = {}

    async def of(self, revision: Revision) -> Graph:
        """Waits only for the first graph of a repository. A caller that gives up leaves the building alone."""
        repository = revision.repository
        kept = self._kept.get(repository)
        if kept is None or kept[0] is not revision:
            building = self._building.get(repository)
            if building is None:
                building = self._building[repository] = asyncio.create_task(self._build(revision))
                building.add_done_callback(lambda _: self._building.pop(repository, None))
            if kept is None:
                return await asyncio.shield(building)
        self._kept.move_to_end(repository)
        return kept[1]

    async def _build(self, revision: Revision) -> Graph:
        graph = await asyncio.to_thread(Graph, revision.graph_facts())
        self._kept[revision.repository] = revision, graph
        self._kept.move_to_end(revision.repository)
        while len(self._kept) > 1 and sum(len(kept.paths) for _, kept in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return graph
