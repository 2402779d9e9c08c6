"""Pods for Jobs that share a budget, and for standing workers: rules that hold for every input."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode_operator.model import Limits
from nearcode_operator.scaling import Demand, allocate, replicas


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    minimum = draw(st.integers(1, 5))
    return Limits(minimum, draw(st.integers(minimum, 9)))


@st.composite
def fleets(draw: st.DrawFn) -> list[Demand]:
    size = draw(st.integers(0, 8))
    return [
        Demand(
            key=f"r{number}",
            backlog=draw(st.integers(0, 60)),
            per_worker=draw(st.integers(1, 10)),
            limits=draw(limits()),
            priority=draw(st.sampled_from([-1, 0, 0, 5])),
            current=draw(st.integers(0, 9)),
            created=f"2026-01-0{draw(st.integers(1, 3))}T00:00:00Z",
        )
        for number in range(size)
    ]


budgets = st.integers(0, 40)


@given(fleets(), budgets)
def test_never_more_pods_than_the_budget(demands: list[Demand], budget: int) -> None:
    assert sum(allocate(demands, budget).values()) <= budget


@given(fleets(), budgets)
def test_each_gets_nothing_or_something_within_its_limits(demands: list[Demand], budget: int) -> None:
    shares = allocate(demands, budget)
    assert shares.keys() == {one.key for one in demands}
    for one in demands:
        assert shares[one.key] == 0 or one.limits.minimum <= shares[one.key] <= one.limits.maximum


@given(fleets(), budgets)
def test_no_pod_is_started_for_work_that_does_not_exist(demands: list[Demand], budget: int) -> None:
    shares = allocate(demands, budget)
    for one in demands:
        useful = -(-one.backlog // one.per_worker)
        assert shares[one.key] <= (max(one.limits.minimum, useful) if one.backlog else 0)


def could_use(one: Demand, share: int, pods: int) -> bool:
    """Whether this demand would take some of so many more pods."""
    return share < one.wanted and pods >= (1 if share else one.limits.minimum)


@given(fleets(), budgets)
def test_no_pod_of_the_budget_idles_while_somebody_could_use_it(demands: list[Demand], budget: int) -> None:
    shares = allocate(demands, budget)
    free = budget - sum(shares.values())
    assert not [one for one in demands if could_use(one, shares[one.key], free)]


@given(fleets(), budgets)
def test_nobody_is_refused_for_the_sake_of_a_lower_priority(demands: list[Demand], budget: int) -> None:
    shares = allocate(demands, budget)
    free = budget - sum(shares.values())
    for one in demands:
        lower = sum(shares[other.key] for other in demands if other.priority < one.priority)
        assert not could_use(one, shares[one.key], free + lower)


@given(fleets(), budgets)
def test_equals_share_fairly(demands: list[Demand], budget: int) -> None:
    """Max-min: nobody who wants more has fewer, by more than one pod, than somebody beyond a minimum of its own."""
    shares = allocate(demands, budget)
    running = [one for one in demands if shares[one.key]]
    for poor in running:
        for rich in running:
            if poor.priority == rich.priority and shares[poor.key] < poor.wanted and shares[rich.key] > rich.limits.minimum:
                assert shares[rich.key] <= shares[poor.key] + 1


@given(fleets(), budgets)
def test_an_allocation_is_final_until_something_changes(demands: list[Demand], budget: int) -> None:
    first = allocate(demands, budget)
    settled = [replace(one, current=first[one.key]) for one in demands]
    assert allocate(settled, budget) == first
    assert allocate(settled[::-1], budget) == first


@given(fleets(), budgets)
def test_who_runs_is_not_stopped_for_a_newcomer_of_the_same_priority(demands: list[Demand], budget: int) -> None:
    equals = [replace(one, priority=0) for one in demands]
    before = allocate(equals, budget)
    running = [replace(one, current=before[one.key]) for one in equals]
    newcomer = Demand("new", backlog=1000, per_worker=1, limits=Limits(1, 9), created="2025-01-01T00:00:00Z")
    after = allocate([newcomer, *running], budget)
    assert all(after[one.key] for one in running if one.current)


@given(fleets(), budgets, st.integers(1, 100), st.data())
def test_more_work_never_means_fewer_pods(demands: list[Demand], budget: int, more: int, data: st.DataObject) -> None:
    if not demands:
        return
    grown = data.draw(st.sampled_from(demands))
    before = allocate(demands, budget)
    after = allocate([replace(one, backlog=one.backlog + more) if one is grown else one for one in demands], budget)
    assert after[grown.key] >= before[grown.key]


def test_three_repositories_share_six_pods() -> None:
    demands = [Demand(key, backlog=100, per_worker=10, limits=Limits(1, 4)) for key in "abc"]
    assert allocate(demands, 6) == {"a": 2, "b": 2, "c": 2}


def test_an_urgent_repository_gets_its_pods_from_the_others() -> None:
    demands = [Demand(key, backlog=100, per_worker=10, limits=Limits(1, 4), current=2) for key in "abc"]
    urgent = Demand("urgent", backlog=100, per_worker=10, limits=Limits(1, 4), priority=10)
    assert allocate([*demands, urgent], 6) == {"a": 1, "b": 1, "c": 0, "urgent": 4}


def test_the_oldest_comes_first_when_there_is_not_enough_for_all() -> None:
    demands = [Demand(key, backlog=9, per_worker=1, created=f"2026-01-0{day}T00:00:00Z") for key, day in (("a", 2), ("b", 1))]
    assert allocate(demands, 1) == {"a": 0, "b": 1}


def test_a_thousand_repositories_are_allotted_in_a_moment() -> None:
    demands = [Demand(f"r{number:04}", backlog=500, per_worker=20, limits=Limits(1, 16)) for number in range(1000)]
    shares = allocate(demands, 200)
    assert sum(shares.values()) == 200


deployments = st.tuples(st.integers(0, 500), st.integers(1, 50), st.integers(0, 5), st.integers(5, 20), st.integers(0, 30))


@given(deployments)
def test_standing_workers_grow_at_once_and_shrink_after_a_while(given_: tuple[int, int, int, int, int]) -> None:
    backlog, per_replica, minimum, maximum, current = given_
    now = replicas(backlog, per_replica, minimum, maximum, current, 0, window=60)
    later = replicas(backlog, per_replica, minimum, maximum, current, 60, window=60)
    assert minimum <= later <= now <= maximum
    assert now >= min(maximum, -(-backlog // per_replica))
    assert now == later or now == min(maximum, current)
    assert replicas(backlog, per_replica, minimum, maximum, later, 0, window=60) == later


@settings(max_examples=20)
@given(st.integers(1, 500), st.integers(1, 500))
def test_a_backlog_that_comes_and_goes_moves_no_replicas(low: int, high: int) -> None:
    """Within the window the most that was needed stays."""
    needed = replicas(max(low, high), 10, 1, 20, 1, 0)
    assert replicas(min(low, high), 10, 1, 20, needed, 299) == needed
