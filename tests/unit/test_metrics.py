"""What operators are shown stays small, true and ours, whatever happens outside."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.budget import StageReport
from nearcode.domain.completion import Outcome
from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.manifest import Manifest, Served
from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.spaces import Coverage
from nearcode.events.metrics import EventMetrics, Queue
from nearcode.gateway.metrics import GatewayMetrics
from nearcode.generation.metrics import GenerationMetrics
from nearcode.ingestion.metrics import IngestionMetrics
from nearcode.metering import meter
from nearcode.runtime.metrics import StageMetrics
from nearcode.runtime.observations import Observations
from nearcode.stores import SERVICES
from prometheus_client import CollectorRegistry, generate_latest

from tests.metric_pages import Family, shown

NOW = 1_000_000_000.0


def page(registry: CollectorRegistry) -> dict[str, Family]:
    return shown(generate_latest(registry).decode())


def status(number: int, behind: float = 0.0, chat: float = 1.0) -> RepositoryStatus:
    return RepositoryStatus(
        id=f"r{number:04}",
        url=f"file:///code/{number}",
        name=f"code/{number}",
        branch="",
        state=RepositoryState.READY,
        revision="abc",
        behind_since=NOW - behind if behind else 0.0,
        coverage=(Coverage("chat", "bge", "active", round(100 * chat), 100),),
    )


def repositories(registry: CollectorRegistry, labels: int = 200) -> IngestionMetrics:
    return IngestionMetrics(registry, labels, clock=lambda: NOW)


def test_a_thousand_repositories_make_no_more_series_than_the_limit_allows() -> None:
    registry = CollectorRegistry()
    repositories(registry).show([status(number) for number in range(1000)])
    found = page(registry)
    assert found["nearcode_repository_behind_seconds"].series == 201
    assert found["nearcode_index_coverage_ratio"].series == 2 * 201
    assert found["nearcode_repository_info"].series == 200
    assert sum(family.series for family in found.values()) <= 201 * 4 + len(RepositoryState)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(0, 30))
def test_the_worst_repository_is_always_seen(behind: list[float], labels: int) -> None:
    registry = CollectorRegistry()
    repositories(registry, labels).show([status(number, seconds) for number, seconds in enumerate(behind)])
    names = [*(f"r{number:04}" for number in range(len(behind))), "other"]
    values = [registry.get_sample_value("nearcode_repository_behind_seconds", {"repository": name}) for name in names]
    told = [value for value in values if value is not None]
    assert len(told) <= labels + 1
    assert max(told) == pytest.approx(max(behind), abs=1e-3)


def test_a_repository_keeps_its_label_and_a_disconnected_one_gives_it_back() -> None:
    registry = CollectorRegistry()
    metrics = repositories(registry, 2)

    def labeled(*numbers: int) -> set[str]:
        metrics.show([status(number) for number in numbers])
        names = ("r0001", "r0002", "r0003", "other")
        return {
            name
            for name in names
            if registry.get_sample_value("nearcode_repository_behind_seconds", {"repository": name}) is not None
        }

    assert labeled(2, 3) == {"r0002", "r0003"}
    assert labeled(1, 2, 3) == {"r0002", "r0003", "other"}
    assert labeled(1, 3) == {"r0001", "r0003"}
    assert labeled() == set()


def test_the_least_covered_of_the_others_is_shown() -> None:
    registry = CollectorRegistry()
    repositories(registry, 1).show([status(1), status(2, chat=0.25), status(3, chat=0.5)])
    labels = {"repository": "other", "space": "chat", "role": "active"}
    assert registry.get_sample_value("nearcode_index_coverage_ratio", labels) == 0.25


def test_behind_counts_from_the_oldest_commit_that_is_not_served() -> None:
    first = Manifest("r1", "file:///code", "code").want("a")
    second = first.want("b")
    assert first.behind_since == second.behind_since > 0
    served = second.serve(Served(second.generation, "b", "x", 1, 1, 1.0))
    assert served.behind_since == 0
    assert served.want("c").behind_since >= second.behind_since


@given(st.text(), st.text(), st.text())
def test_words_that_a_model_server_makes_up_make_no_series(plan: str, degraded: str, finish: str) -> None:
    registry = CollectorRegistry()
    gateway, generation = GatewayMetrics(registry, StageMetrics(registry)), GenerationMetrics(registry)
    gateway.answered("chat", plan, degraded)
    gateway.answered("chat", "hybrid", Reason.DEADLINE_EXCEEDED)
    gateway.answered("chat", "made up", "made up")
    generation.answered("chat", Outcome("toy", finish))
    generation.answered("chat", Outcome("toy", "made up"))
    assert page(registry)["nearcode_answers_total"].series <= 3
    assert page(registry)["nearcode_generations_total"].series <= 2
    known = {"kind": "chat", "plan": "hybrid", "degraded": "DEADLINE_EXCEEDED"}
    assert (registry.get_sample_value("nearcode_answers_total", known) or 0.0) >= 1


def test_stages_are_told_in_seconds() -> None:
    registry = CollectorRegistry()
    stages = StageMetrics(registry)
    stages.observe(StageReport("embed", allotted_ms=250, spent_ms=50, carried_ms=200, start_ms=0))
    stages.observe(StageReport("embed", allotted_ms=250, spent_ms=250, carried_ms=0, start_ms=0, skipped=True))
    sums = [
        registry.get_sample_value(f"nearcode_stage_{kind}_seconds_sum", {"stage": "embed"}) for kind in ("spent", "carried")
    ]
    assert sums == pytest.approx([0.3, 0.2])
    assert registry.get_sample_value("nearcode_stage_skipped_total", {"stage": "embed"}) == 1


def test_queues_of_one_stage_are_one_and_those_that_are_gone_are_not_shown() -> None:
    registry = CollectorRegistry()
    metrics = EventMetrics(registry)
    metrics.show([Queue("fill", "cut", 3, 1), Queue("fill", "cut", 4, 0), Queue("desired", "wanted", 0, 0)])
    assert registry.get_sample_value("nearcode_queue_messages", {"stream": "fill", "stage": "cut"}) == 7
    metrics.show([Queue("desired", "wanted", 2, 0)])
    assert registry.get_sample_value("nearcode_queue_messages", {"stream": "fill", "stage": "cut"}) is None
    assert registry.get_sample_value("nearcode_queue_messages", {"stream": "desired", "stage": "wanted"}) == 2


async def test_a_source_that_is_away_is_counted_and_holds_up_no_other() -> None:
    registry = CollectorRegistry()
    looks: list[str] = []

    async def away() -> None:
        raise Unavailable("the event broker does not answer")

    async def there() -> None:
        looks.append("there")

    observations = Observations(registry, seconds=3600)
    observations.add("queues", away)
    observations.add("repositories", there)
    await asyncio.gather(*(observations.refresh() for _ in range(10)))
    assert looks == ["there"], "scrapes that come together look once"
    failures = [
        registry.get_sample_value("nearcode_observation_failures_total", {"source": source})
        for source in ("queues", "repositories")
    ]
    assert failures == [1, 0]


@pytest.mark.parametrize("services", [[service] for service in SERVICES] + [SERVICES])
def test_a_process_registers_the_metrics_of_its_services_once(services: Sequence[str]) -> None:
    registry = CollectorRegistry()
    meter(registry, services, 10)
    names = [family.name for family in registry.collect()]
    assert len(names) == len(set(names))
    assert ("nearcode_stage_spent_seconds" in names) == bool({"gateway", "retrieval"} & set(services))
