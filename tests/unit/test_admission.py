"""Admission control: what starts, what waits, what is refused, and who goes first. Time is a number here."""

import heapq
import importlib
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearcode.runtime.admission import (
    _CRITICALITY,
    MOST_WAITING,
    Admission,
    Refusal,
    Ticket,
    criticality,
)
from nearcode.runtime.concurrency_limit import LAG_SECONDS, LEAST, SLOWED, WINDOW_SECONDS, ConcurrencyLimit
from nearcode.runtime.method_times import MethodTimes

API = "nearcode.api."
SEARCH = f"{API}assistant.v1.AssistantService/Search"
COMPLETE = f"{API}assistant.v1.AssistantService/Complete"
CHAT = f"{API}assistant.v1.AssistantService/Chat"
SYNC = f"{API}repositories.v1.RepositoriesService/Sync"


@dataclass
class World:
    """A server of `cores` workers, each call `work` seconds long, behind admission control. Calls come at given times."""

    work: float = 0.01
    cores: int = 2
    admission: Admission = field(default_factory=Admission)
    now: float = 0.0
    in_time: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refusal_delays: list[float] = field(default_factory=list)
    _events: list[tuple[float, int, str, object]] = field(default_factory=list)
    _free: list[float] = field(default_factory=list)

    def call(self, at: float, method: str = SEARCH, client: str = "ada", seconds: float = 0.3) -> None:
        self._push(at, "arrives", (method, client, seconds))

    def run(self, until: float) -> None:
        self._free = [0.0] * self.cores
        for beat in range(int(until / 0.02)):
            self._push(beat * 0.02, "beat", None)
        while self._events:
            self.now, _, kind, what = heapq.heappop(self._events)
            if kind == "beat":
                # The queue at the workers is what an event loop's lag shows.
                self.admission.tick(self.now, max(0.0, min(self._free) - self.now))
            elif kind == "arrives":
                assert isinstance(what, tuple)
                self._arrive(*what)
            else:
                assert isinstance(what, Ticket)
                (self.late if self.now > what.ends else self.in_time)[what.client] += 1
                self.admission.leave(what, self.now)

    def _push(self, at: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (at, len(self._events) * 1000 + random.Random(at).randrange(1000), kind, what))

    def _arrive(self, method: str, client: str, seconds: float) -> None:
        ticket, arrived = Ticket(method, client, self.now + seconds), self.now

        def settle(refusal: Refusal | None) -> None:
            if refusal:
                self.refused[client] += 1
                self.refusal_delays.append(self.now - arrived)
            else:
                self._work(ticket)

        ticket.settle = settle
        refusal = self.admission.ask(ticket, self.now)
        if refusal or ticket.working:
            settle(refusal)

    def _work(self, ticket: Ticket) -> None:
        begins = max(self.now, heapq.heappop(self._free))
        heapq.heappush(self._free, begins + self.work)
        self._push(begins + self.work, "ends", ticket)


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    chance, at, times = random.Random(seed), 0.0, []
    while (at := at + chance.expovariate(rate)) < seconds:
        times.append(at)
    return times


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.5, 3.0, 10.0])
def test_under_any_load_what_can_be_answered_is_answered_in_time(factor: float) -> None:
    world, capacity = World(), 200.0
    times = poisson(factor * capacity, 10.0, seed=1)
    for at in times:
        world.call(at)
    world.run(12.0)
    answered = world.in_time.total()
    assert answered >= 0.9 * min(len(times), 10.0 * capacity)
    assert world.late.total() <= 0.02 * answered
    assert answered + world.late.total() + world.refused.total() == len(times)


class NoControl(Admission):
    """Lets everything in at once: the control, which must collapse."""

    def ask(self, ticket: Ticket, now: float) -> Refusal | None:
        self._begin(ticket, now)
        return None


def test_without_control_three_times_the_load_collapses() -> None:
    world = World(admission=NoControl())
    for at in poisson(600.0, 10.0, seed=1):
        world.call(at)
    world.run(40.0)
    assert world.in_time.total() <= 0.1 * 10.0 * 200.0


def test_a_refusal_is_quick() -> None:
    world = World()
    for at in poisson(600.0, 10.0, seed=2):
        world.call(at)
    world.run(12.0)
    assert sorted(world.refusal_delays)[len(world.refusal_delays) // 2] <= 0.02


def test_people_are_served_before_programs() -> None:
    world = World()
    for at in poisson(150.0, 10.0, seed=3):
        world.call(at, SEARCH, "editor")
    for at in poisson(600.0, 10.0, seed=4):
        world.call(at, SYNC, "script", seconds=30.0)
    world.run(60.0)
    assert world.in_time["editor"] >= 0.95 * (world.in_time + world.late + world.refused)["editor"]
    assert world.in_time["script"] > 0, "an operator must see something even then"


def test_a_noisy_client_takes_no_more_than_its_share() -> None:
    world = World()
    for client, rate in {"noisy": 2000.0, "ada": 90.0, "bob": 90.0}.items():
        for at in poisson(rate, 10.0, seed=5):
            world.call(at, SEARCH, client)
    world.run(12.0)
    share = 10.0 * 200.0 / 3
    assert world.in_time["noisy"] <= 2 * share
    assert min(world.in_time["ada"], world.in_time["bob"]) >= 0.85 * share


def test_patient_calls_do_not_crowd_out_those_in_a_hurry() -> None:
    world = World()
    for at in poisson(300.0, 10.0, seed=9):
        world.call(at, COMPLETE, "editor", seconds=0.5)
    for at in poisson(300.0, 10.0, seed=10):
        world.call(at, SEARCH, "editor2", seconds=2.0)
    world.run(13.0)
    assert world.in_time["editor"] >= 0.4 * world.in_time.total() >= 0.4 * 0.9 * 2000


def test_who_has_time_is_not_refused_on_a_machine_that_is_busy_with_something_else() -> None:
    world = World(work=0.3)
    for late, client in enumerate(("ada", "bob", "eve")):
        for turn in range(20):
            world.call(turn * 1.2 + late / 100, SEARCH, client, seconds=30.0)
    world.run(60.0)
    assert not world.refused and not world.late


def test_one_client_alone_may_have_everything() -> None:
    world = World()
    for at in poisson(400.0, 5.0, seed=6):
        world.call(at, SEARCH, "only")
    world.run(7.0)
    assert world.in_time["only"] >= 0.9 * 5.0 * 200.0


def test_the_load_gone_everything_is_answered_within_five_seconds() -> None:
    world = World()
    for at in poisson(2000.0, 5.0, seed=7):
        world.call(at, client="flood")
    for at in poisson(100.0, 5.0, seed=8):
        world.call(10.0 + at, client="after")
    world.run(17.0)
    assert world.in_time["after"] == sum((world.in_time + world.late + world.refused)[name] for name in ("after",))


def test_a_call_starts_only_if_wait_and_typical_work_fit_its_deadline() -> None:
    admission = Admission()
    for _ in range(40):
        ticket = Ticket(SEARCH, "ada", 10.0)
        admission.ask(ticket, 0.0)
        admission.leave(ticket, 0.2)
    busy = Ticket(SEARCH, "ada", 10.0)
    assert admission.ask(busy, 0.0) is None and busy.working
    refusal = admission.ask(Ticket(SEARCH, "ada", 0.15), 0.0)
    assert refusal and refusal.reason == "deadline" and refusal.retry_after > 0
    assert admission.ask(Ticket(SEARCH, "ada", 0.5), 0.0) is None


def test_an_idle_server_tries_whatever_it_remembers() -> None:
    admission = Admission()
    for _ in range(40):
        slow = Ticket(SEARCH, "ada", 100.0)
        admission.ask(slow, 0.0)
        admission.leave(slow, 9.0)
    assert admission.ask(Ticket(SEARCH, "ada", 0.1), 0.0) is None


def test_a_stream_gives_its_place_away_with_its_first_message() -> None:
    admission = Admission(ConcurrencyLimit(value=2.0))
    streams = [Ticket(COMPLETE, "ada", 60.0) for _ in range(20)]
    for stream in streams:
        assert admission.ask(stream, 0.0) is None and stream.working
        admission.answered(stream, 0.01)
    assert (admission.working, admission.in_flight) == (0, 20)
    for stream in streams:
        admission.leave(stream, 5.0)
    assert (admission.working, admission.in_flight) == (0, 0)
    assert admission.typical(COMPLETE) == pytest.approx(0.01)


def test_a_client_with_hopeless_deadlines_does_not_slow_down_the_others() -> None:
    admission = Admission(ConcurrencyLimit(value=10.0))
    for number in range(2000):
        now = number * 0.01
        good, bad = Ticket(SEARCH, "ada", now + 1.0), Ticket(SEARCH, "eve", now + 0.001)
        for ticket in (good, bad):
            if admission.ask(ticket, now) is None and ticket.working:
                admission.leave(ticket, now + 0.005)
        admission.tick(now, 0.0)
    assert admission.limit.value >= 8.0


def test_a_full_queue_refuses_the_client_that_fills_it() -> None:
    admission = Admission(ConcurrencyLimit(value=8.0))
    asked = [admission.ask(Ticket(SYNC, "noisy", 3600.0), 0.0) for _ in range(2 * MOST_WAITING)]
    assert admission.waiting == MOST_WAITING and admission.working == 4, "programs hold half of the room at most"
    assert [refusal.reason for refusal in asked if refusal] == ["share"] * (MOST_WAITING - 4)
    assert admission.ask(Ticket(SYNC, "ada", 3600.0), 0.0) is None


def test_the_limit_falls_while_the_loop_lags_and_rises_again_when_it_is_used() -> None:
    limit, now = ConcurrencyLimit(), 0.0
    for _ in range(20):
        now += WINDOW_SECONDS
        limit.tick(now, 2 * LAG_SECONDS)
    assert int(limit) == LEAST
    for _ in range(50):
        now += WINDOW_SECONDS
        limit.saw(int(limit))
        limit.tick(now, 0.0)
    assert int(limit) > 20
    highest = int(limit)
    for _ in range(50):
        now += WINDOW_SECONDS
        limit.saw(1)
        limit.tick(now, 0.0)
    assert int(limit) == highest, "an unused limit stays"


def test_an_overload_never_becomes_what_is_taken_for_normal() -> None:
    times = MethodTimes()
    for number in range(400):
        times.add(0.02 + 0.01 * (number % 3), number * 0.1)
    assert times.undisturbed == pytest.approx(0.02, rel=0.3)
    for number in range(1500):
        times.add(0.11, 40.0 + number * 0.01)
    assert 0.11 / times.undisturbed > SLOWED / 2
    assert times.typical() == 0.11


def test_every_method_with_a_class_is_in_our_contracts() -> None:
    for name in _CRITICALITY:
        service, method = name.split("/")
        package = service.removeprefix(API).split(".")[0]
        messages = importlib.import_module(f"nearcode.api.{package}.v1.{package}_pb2")
        assert method in messages.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name
    assert criticality(COMPLETE) < criticality(CHAT) < criticality(SYNC)


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "leave", "tick"]),
        st.sampled_from([SEARCH, COMPLETE, CHAT, SYNC]),
        st.sampled_from("abc"),
        st.floats(0.001, 2.0),
    ),
    max_size=200,
)


@settings(deadline=None)
@given(steps)
def test_whatever_happens_places_are_never_lost_and_the_limit_holds(steps: list[tuple[str, str, str, float]]) -> None:
    admission, now = Admission(), 0.0
    taken: list[Ticket] = []
    settled: dict[int, Refusal | None] = {}
    for kind, method, client, number in steps:
        now += number / 50
        if kind == "ask":
            ticket = Ticket(method, client, now + number)
            ticket.settle = lambda refusal, ticket=ticket: settled.__setitem__(id(ticket), refusal)  # type: ignore[misc]
            began_with = admission.working
            if admission.ask(ticket, now) is None:
                taken.append(ticket)
                assert not ticket.working or began_with == 0 or admission.working <= int(admission.limit)
        elif kind == "tick":
            admission.tick(now, number / 50)
        elif taken:
            ticket = taken[int(number * 1000) % len(taken)]
            if kind == "answer":
                admission.answered(ticket, now)
            else:
                taken.remove(ticket)
                admission.leave(ticket, now)
        taken = [ticket for ticket in taken if settled.get(id(ticket)) is None]
        assert admission.in_flight == sum(ticket.working for ticket in taken)
        assert admission.working == sum(ticket.holding for ticket in taken)
        assert admission.waiting == sum(not ticket.working for ticket in taken)
    for ticket in taken:
        admission.leave(ticket, now)
    assert admission.working == admission.in_flight == admission.waiting == 0
