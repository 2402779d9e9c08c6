"""How far the index is behind the repositories, read when somebody asks."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.spaces import COMPLETION

OTHER = "other"
"""Label of the repositories that have none of their own."""


class IngestionMetrics(Collector):
    """Gauges by repository for the first `labels` repositories; the others share one label, which shows the worst of them.

    A repository keeps its label while it is connected, so that series do not come and go.
    """

    def __init__(self, registry: CollectorRegistry, labels: int, clock: Callable[[], float] = time.time) -> None:
        self._most, self._clock = labels, clock
        self._labeled: set[str] = set()
        self._statuses: Sequence[RepositoryStatus] = ()
        registry.register(self)

    def show(self, statuses: Sequence[RepositoryStatus]) -> None:
        """What `collect` tells from now on."""
        connected = sorted(status.id for status in statuses)
        self._labeled &= set(connected)
        waiting = [repository for repository in connected if repository not in self._labeled]
        self._labeled.update(waiting[: max(0, self._most - len(self._labeled))])
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment: seconds go on counting between two looks."""
        yield self._count()
        yield self._behind()
        yield self._coverage()
        yield self._names()

    def _label(self, status: RepositoryStatus) -> str:
        return status.id if status.id in self._labeled else OTHER

    def _count(self) -> Metric:
        family = GaugeMetricFamily("nearcode_repositories", "Connected repositories, by state.", labels=["state"])
        for state in RepositoryState:
            family.add_metric([state.value], sum(status.state is state for status in self._statuses))
        return family

    def _behind(self) -> Metric:
        worst: defaultdict[str, float] = defaultdict(float)
        now = self._clock()
        for status in self._statuses:
            behind = max(0.0, now - status.behind_since) if status.behind_since else 0.0
            worst[self._label(status)] = max(worst[self._label(status)], behind)
        return _family(
            "nearcode_repository_behind_seconds",
            "Seconds since the oldest commit was wanted that is not searchable yet; 0 when nothing is missing. `other` is the "
            "worst of the repositories without a label of their own.",
            ["repository"],
            {(repository,): seconds for repository, seconds in worst.items()},
        )

    def _coverage(self) -> Metric:
        worst: dict[tuple[str, ...], float] = {}
        for status in self._statuses:
            for space, role, ratio in _ratios(status):
                labels = (self._label(status), space, role)
                worst[labels] = min(worst.get(labels, 1.0), ratio)
        return _family(
            "nearcode_index_coverage_ratio",
            "Share of a repository's files that a space holds, 0 to 1. Role: the model that answers is active, one that is "
            "filled beside it building, the one before previous. `other` is the worst of the rest.",
            ["repository", "space", "role"],
            worst,
        )

    def _names(self) -> Metric:
        return _family(
            "nearcode_repository_info",
            "Always 1; the name of each repository that has a label of its own.",
            ["repository", "name"],
            {(status.id, status.name): 1.0 for status in self._statuses if status.id in self._labeled},
        )


def _ratios(status: RepositoryStatus) -> Iterator[tuple[str, str, float]]:
    """Space, role and ratio of each collection that the repository is to be in."""
    progress = status.progress
    served = 1.0 if status.revision else progress.files_done / progress.files_total if progress.files_total else 0.0
    if not any((one.space, one.role) == (COMPLETION, "active") for one in status.coverage):
        yield COMPLETION, "active", served
    for one in status.coverage:
        yield one.space, one.role, one.ratio


def _family(name: str, text: str, labels: Sequence[str], values: dict[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for each, value in values.items():
        family.add_metric(list(each), value)
    return family
