"""The graph of a revision: which files import which, what they define, which are alike. Built from the revision's artifact.

Files are numbers inside and paths outside. Building takes about 100 ms for 3,000 files; every answer is read from a table.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nearcode.domain.graph import GraphFacts, Import, unpack_links
from nearcode.domain.terms import term_id
from nearcode.retrieval.files import file_facts
from nearcode.retrieval.graph_tables import Occurrences, Shared, centrality, fold, folded, inverted, postings
from nearcode.retrieval.resolution.families import Resolution
from nearcode.retrieval.resolution.tree import Tree, nearest
from nearcode.retrieval.subjects import is_test, subject_of

MOST_TARGETS = 40
"""Files that one import stands for at most: a package of more says little of each."""
FEW_TARGETS = 4
"""An import of more files is compared as what is written, not file by file."""
DEEPEST_BARREL = 3
"""So often it is looked behind files that only pass names on (`__init__.py`, `index.ts`)."""
_BARRELS = frozenset(
    {"__init__.py", "__init__.pyi", "index.ts", "index.tsx", "index.js", "index.jsx", "index.mjs", "mod.rs", "lib.rs"}
)

_LAST_NAMES = re.compile(r"\w+(?=\s*[,}]|\s*$)")
"""`a.{B, C}` names B and C; `a.b`, b."""

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """A file, and how much it is like the one asked for, 0 to 1."""

    path: str
    strength: float


class Graph:
    """Answers with paths, the surest or the nearest first; for a path that it does not know, with nothing."""

    def __init__(self, facts: GraphFacts) -> None:
        self.paths = tuple(facts.links)
        self._facts = facts
        self._at = {path: at for at, path in enumerate(self.paths)}
        self._tree = Tree(self.paths, facts.projects)
        self._resolution = Resolution(self._tree)
        links = [unpack_links(packed) for packed in facts.links.values()]
        self._imports = [each.imports for each in links]
        self._definitions = [each.definitions for each in links]
        self._defined: dict[int, frozenset[int]] = {}
        self._named = postings(self._definitions)
        self._barrels = frozenset(at for at, path in enumerate(self.paths) if posixpath.basename(path) in _BARRELS)
        self._behind: dict[int, frozenset[int]] = {}
        resolved = [self._resolve(path, each) for path, each in zip(self.paths, self._imports, strict=True)]
        self._direct = [_distinct(each) for each in resolved]
        self._out = [self._through(*each) for each in zip(self._direct, resolved, self._imports, strict=True)]
        self._in = inverted(self._out)
        self._central = centrality(self._in)
        keys = [self._keys(*each) for each in zip(self._imports, resolved, strict=True)]
        self._shared = Shared(keys)

    def __contains__(self, path: str) -> bool:
        return path in self._at

    def imports_of(self, path: str) -> tuple[str, ...]:
        """Files that it imports, in order; those behind a barrel after all that are named themselves."""
        return self._of(self._out, path)

    def written_imports(self, path: str) -> tuple[Import, ...]:
        """Its imports as they are written."""
        at = self._at.get(path)
        return () if at is None else self._imports[at]

    def importers_of(self, path: str) -> tuple[str, ...]:
        """Files that import it."""
        return self._of(self._in, path)

    def resolve(self, path: str, imports: Sequence[Import], used: Collection[str] = ()) -> tuple[str, ...]:
        """`imports_of` for a file as it is being edited, which need not be part of the revision. Of a package of many files,
        those that define a name that is `used`, if any does."""
        resolved = self._resolve(path, imports, frozenset(term_id(name.lower()) for name in used))
        return tuple(self.paths[at] for at in self._through(_distinct(resolved), resolved, imports))

    def similar_imports(self, path: str, imports: Sequence[Import], limit: int) -> list[Alike]:
        """Files that import much of what these imports of a file name, rare ones weighing more."""
        found = self._shared.alike(self._keys(imports, self._resolve(path, imports)), limit + 1)
        return self._alike(found, path, limit)

    def similar_names(self, path: str, limit: int) -> list[Alike]:
        """Files whose names share words with its own, rare ones weighing more: user_view.py, user_form.py."""
        return self._alike(self._words.alike(_words(path), limit + 1), path, limit)

    def defines(self, name: str) -> tuple[str, ...]:
        """Files that define this very name."""
        return tuple(self.paths[at] for at in self._named.get(name, ()))

    def spellings(self, name: str) -> tuple[str, ...]:
        """Names that are defined and equal this one but for case and underscores: get_user, getUser, GetUser."""
        return self._folded.get(fold(name), ())

    def users_of(self, name: str) -> tuple[str, ...]:
        """Files in which the name occurs, in any case; of a very large file not all terms are known."""
        return tuple(self.paths[at] for at in self._occurrences.files(term_id(name.lower())))

    def siblings(self, path: str) -> tuple[str, ...]:
        """Files of the same folder, those with a name like its own first."""
        folder = posixpath.dirname(path)
        words = _words(path)
        found = [each for each in self._tree.folders.get(folder, ()) if each != path]
        return tuple(sorted(found, key=lambda each: -len(words & _words(each))))

    def centrality(self, path: str) -> float:
        """How much of the repository imports it, 0 to 1, by logarithms."""
        at = self._at.get(path)
        return 0.0 if at is None else float(self._central[at])

    def tests_of(self, path: str) -> tuple[str, ...]:
        """Files that are named as its tests, the nearest first, then other tests that import it."""
        named = [] if is_test(path) else [each for each in self._subjects.get(subject_of(path), ()) if is_test(each)]
        importing = [each for each in self.importers_of(path) if is_test(each)]
        return tuple(dict.fromkeys((*nearest(path, named), *importing)))

    def tested_by(self, path: str) -> tuple[str, ...]:
        """Files that a test is named for, those that it imports first."""
        imports = set(self.imports_of(path))
        named = [each for each in self._subjects.get(subject_of(path), ()) if not is_test(each)] if is_test(path) else []
        return tuple(sorted(nearest(path, named), key=lambda each: each not in imports))

    @cached_property
    def _folded(self) -> dict[str, tuple[str, ...]]:
        return folded(self._named)

    @cached_property
    def _words(self) -> Shared:
        return Shared([_words(path) for path in self.paths])

    @cached_property
    def _occurrences(self) -> Occurrences:
        return Occurrences([self._facts.terms.get(path, b"") for path in self.paths])

    @cached_property
    def _subjects(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            if subject := subject_of(path):
                found[subject].append(path)
        return dict(found)

    def _of(self, edges: Sequence[Numbers], path: str) -> tuple[str, ...]:
        at = self._at.get(path)
        return () if at is None else tuple(self.paths[each] for each in edges[at])

    def _alike(self, found: Sequence[tuple[int, float]], path: str, limit: int) -> list[Alike]:
        return [Alike(self.paths[at], strength) for at, strength in found if self.paths[at] != path][:limit]

    def _resolve(self, path: str, imports: Sequence[Import], used: frozenset[int] | None = None) -> list[Numbers]:
        """The files that each import names. `used`: terms of the importing file, if it is not as it is stored."""
        found = [tuple(self._at[file] for file in files) for files in self._resolution.resolve(path, imports)]
        if all(len(targets) <= FEW_TARGETS for targets in found):
            return found
        if used is None:
            used = frozenset(np.frombuffer(self._facts.terms.get(path, b""), "<u4").tolist())
        return [self._narrowed(each, targets, used)[:MOST_TARGETS] for each, targets in zip(imports, found, strict=True)]

    def _narrowed(self, imported: Import, targets: Numbers, used: frozenset[int]) -> Numbers:
        """Of a package of many files, those that define what the import names, as in Kotlin; else those that define what the
        importing file uses, as in Go; else all."""
        if len(targets) <= FEW_TARGETS:
            return targets
        names = () if "/" in imported.target else _LAST_NAMES.findall(imported.target)
        definers = {at for name in names for at in self._named.get(name, ())}
        named = tuple(at for at in targets if at in definers)
        return named or tuple(at for at in targets if not used.isdisjoint(self._defined_terms(at))) or targets

    def _defined_terms(self, at: int) -> frozenset[int]:
        if at not in self._defined:
            self._defined[at] = frozenset(term_id(name.lower()) for name in self._definitions[at])
        return self._defined[at]

    def _keys(self, imports: Sequence[Import], resolved: Sequence[Numbers]) -> frozenset[str]:
        """What is compared of imports: files of the repository, and what is written of anything else."""
        keys: set[str] = set()
        for each, targets in zip(imports, resolved, strict=True):
            if targets and len(targets) <= FEW_TARGETS:
                keys.update(self.paths[at] for at in targets)
            elif not each.target.startswith("."):
                keys.add(each.target)
        return frozenset(keys)

    def _through(self, direct: Numbers, resolved: Sequence[Numbers], imports: Sequence[Import]) -> Numbers:
        """The files imported, and behind barrels those that define the names that are taken from them."""
        behind: dict[int, None] = {}
        for each, targets in zip(imports, resolved, strict=True):
            for barrel in self._barrels.intersection(targets):
                reached = self._reached(barrel) if each.names else ()
                for name in each.names if reached else ():
                    behind.update(dict.fromkeys(at for at in self._named.get(name, ()) if at in reached))
        return tuple(dict.fromkeys((*direct, *behind))) if behind else direct

    def _reached(self, barrel: int) -> frozenset[int]:
        """What a barrel imports, itself or through further barrels."""
        if barrel not in self._behind:
            found, edge = {barrel}, {barrel}
            for _ in range(DEEPEST_BARREL):
                edge = {target for at in edge for target in self._direct[at]} - found
                found |= edge
                edge &= self._barrels
            self._behind[barrel] = frozenset(found - {barrel})
        return self._behind[barrel]


def _distinct(resolved: Sequence[Numbers]) -> Numbers:
    return tuple(dict.fromkeys(at for targets in resolved for at in targets))


def _words(path: str) -> frozenset[str]:
    return file_facts(path).name
