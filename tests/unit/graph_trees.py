"""Small repositories as the graph sees them: what is written in files, and what resolves to which."""

from collections.abc import Mapping, Sequence

import numpy as np
from nearcode.domain.graph import GraphFacts, Import, Links, Project, pack_links
from nearcode.domain.terms import term_id
from nearcode.ingestion.projects import read_project
from nearcode.retrieval.graph import Graph
from nearcode.retrieval.resolution.families import Resolution
from nearcode.retrieval.resolution.tree import Tree

Files = Mapping[str, tuple[Sequence[str | Import], Sequence[str]]]
"""Path -> imports and names defined."""


def projects(files: Mapping[str, str]) -> tuple[Project, ...]:
    """What these project files say."""
    found = (read_project(path, text.encode()) for path, text in files.items())
    return tuple(project for project in found if project)


def resolve(paths: Sequence[str], path: str, target: str, *names: str, given: Mapping[str, str] | None = None) -> list[str]:
    """The files that an import means. `given`: project files."""
    resolution = Resolution(Tree(paths, projects(given or {})))
    return list(resolution.resolve(path, [Import(target, names)])[0])


def graph(links: Files, uses: Mapping[str, Sequence[str]] | None = None) -> Graph:
    """Of files with their imports and the names they define; `uses`: names that occur in them."""
    packed = {
        path: pack_links(
            Links(tuple(each if isinstance(each, Import) else Import(each) for each in imports), tuple(defined)), 10_000
        )
        for path, (imports, defined) in sorted(links.items())
    }
    terms = {path: np.array(sorted({term_id(name.lower()) for name in (uses or {}).get(path, ())}), "<u4") for path in packed}
    return Graph(GraphFacts(packed, {path: ids.tobytes() for path, ids in terms.items()}))
