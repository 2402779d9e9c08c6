"""Tables that answer for all files of a revision at once. Files are numbers."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class Shared:
    """Files by the keys they hold: which files share the most with a set of keys, rare keys weighing more."""

    def __init__(self, keys: Sequence[Collection[str]]) -> None:
        """`keys`: of each file, distinct."""
        self._numbers: dict[str, int] = {}
        flat = [self._numbers.setdefault(key, len(self._numbers)) for each in keys for key in each]
        numbers = np.array(flat, np.int64)
        owners = np.repeat(np.arange(len(keys)), [len(each) for each in keys])
        order = np.argsort(numbers, kind="stable")
        counts = np.bincount(numbers, minlength=len(self._numbers))
        self._owners = owners[order]
        self._ends = np.concatenate(([0], np.cumsum(counts)))
        self._weights = np.log((1.0 + len(keys)) / (0.5 + counts)).clip(min=0.0)
        self._totals = np.bincount(owners, self._weights[numbers], minlength=len(keys))

    def alike(self, keys: Collection[str], limit: int) -> list[tuple[int, float]]:
        """Files and the weight of what they share, as a share of the mean weight (geometric) of both; the most alike first."""
        numbers = [self._numbers[key] for key in keys if key in self._numbers]
        if not numbers or limit < 1:
            return []
        common = np.zeros(len(self._totals))
        for number in numbers:
            common[self._owners[self._ends[number] : self._ends[number + 1]]] += self._weights[number]
        unknown = (len(keys) - len(numbers)) * float(self._weights.max(initial=0.0))
        own = float(self._weights[numbers].sum()) + unknown
        found = np.flatnonzero(common > 0.0)
        strengths = common[found] / np.sqrt(self._totals[found] * own)
        order = np.lexsort((found, -strengths))[:limit]
        return [(int(found[at]), float(strengths[at])) for at in order]


class Occurrences:
    """Files by their terms, from the packed terms of each (uint32)."""

    def __init__(self, terms: Sequence[bytes]) -> None:
        flat = np.frombuffer(b"".join(terms), "<u4")
        owners = np.repeat(np.arange(len(terms), dtype=np.int32), [len(each) // 4 for each in terms])
        order = np.argsort(flat, kind="stable")
        self._terms, self._owners = flat[order], owners[order]

    def files(self, term: int) -> list[int]:
        """The files that hold a term, in order."""
        first, last = np.searchsorted(self._terms, np.array([term, term + 1], np.uint64))
        return [int(at) for at in dict.fromkeys(self._owners[first:last].tolist())]


def postings(names: Sequence[Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """Names to the files that hold them, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for at, each in enumerate(names):
        for name in each:
            found[name].append(at)
    return {name: tuple(files) for name, files in found.items()}


def inverted(edges: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Who leads to each, in order."""
    found: list[list[int]] = [[] for _ in edges]
    for source, targets in enumerate(edges):
        for target in targets:
            found[target].append(source)
    return [tuple(sources) for sources in found]


def folded(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Names by what is left of them without case and underscores."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[fold(name)].append(name)
    return {key: tuple(spellings) for key, spellings in found.items()}


def fold(name: str) -> str:
    """`getUser`, `get_user` and `GetUser` are one: `getuser`."""
    return name.replace("_", "").lower()


def centrality(incoming: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Shape (files,): the logarithm of how many import a file, to that of the most imported."""
    counts = np.log1p(np.array([len(sources) for sources in incoming], np.float64))
    return counts / max(1.0, float(counts.max(initial=0.0)))
