"""Admission control: which calls are worked on, which wait and which are refused at once. Decisions only: no clock, no gRPC.

A call starts only if the wait ahead of it and the typical time of its method fit into what is left of its deadline; under
overload the work then goes to calls that can still be answered, instead of to those that are already lost. What is left counts
from the moment the call reached the process, so the event loop's own queue is in it; `ConcurrencyLimit` keeps that queue short.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from nearcode.runtime.concurrency_limit import MOST, ConcurrencyLimit
from nearcode.runtime.fair_queue import FairQueue
from nearcode.runtime.method_times import MethodTimes


class Criticality(IntEnum):
    """Who is served first when there is too much: a person who waits while typing, one who asked, programs."""

    INTERACTIVE = 0
    CHAT = 1
    BATCH = 2


_API = "nearcode.api."
_CRITICALITY = {
    _API + "assistant.v1.AssistantService/Complete": Criticality.INTERACTIVE,
    _API + "assistant.v1.AssistantService/Context": Criticality.INTERACTIVE,
    _API + "assistant.v1.AssistantService/Search": Criticality.INTERACTIVE,
    _API + "assistant.v1.AssistantService/Chat": Criticality.CHAT,
    _API + "assistant.v1.AssistantService/Explain": Criticality.CHAT,
    _API + "generation.v1.GenerationService/Complete": Criticality.INTERACTIVE,
    _API + "generation.v1.GenerationService/Chat": Criticality.CHAT,
    # A gateway asks for it at the start of each interactive call.
    _API + "ingestion.v1.IngestionService/List": Criticality.INTERACTIVE,
    _API + "retrieval.v1.RetrievalService/Retrieve": Criticality.INTERACTIVE,
    _API + "retrieval.v1.RetrievalService/Explain": Criticality.CHAT,
}
OPEN = "grpc.health.v1.Health/"
"""Never refused and never counted: probes tell whether to send traffic elsewhere, and must not drown in it."""

SHARES = {Criticality.INTERACTIVE: 1.0, Criticality.CHAT: 0.75, Criticality.BATCH: 0.5}
"""Share of the limit that calls of this class and below may hold: a long administrative call leaves room for typing."""
LOW_TURN = 10
"""Every tenth turn goes to the least critical who wait: without it an operator learns nothing during a flood."""
PATIENCE = 0.8
"""Share of what is left that waiting and typical work may take; estimates err, and half of all calls take longer."""
WAITING_SHARE = 0.15
"""Share of what is left that waiting alone may take: enough for calls that come in a bunch. A longer queue answers no more
calls, only later ones (CoDel: Nichols and Jacobson, 2012), and a completion that waited has no time for its context."""
TYPING_SECONDS = 0.075
"""The most that an interactive call waits: else searches, which may take a second, fill the queue and completions find it full.
It is the share above of a completion's usual half second."""
PATIENT_SECONDS = 2.0
"""Who gives a call longer than this is not typing, and may wait for the share above: a person's search on a machine that is
busy with something else would be refused with half a minute left."""
MOST_WAITING = 256
"""Calls that wait at most. More than can be served within any interactive deadline."""
_WEIGHT = 0.1
_SOONEST, _LATEST = 0.1, 5.0


def criticality(method: str) -> Criticality:
    """The class of a method by its full name, `package.Service/Method`; what is not listed is for programs."""
    return _CRITICALITY.get(method, Criticality.BATCH)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reason`: deadline (it cannot be kept), share (the client has its share waiting already) or late (it waited in vain).
    `retry_after` in seconds."""

    reason: str
    retry_after: float


@dataclass(eq=False, slots=True)
class Ticket:
    """One call. `ends` is its deadline on the clock that `now` is read from; `settle` is told when its turn comes."""

    method: str
    client: str
    ends: float
    settle: Callable[[Refusal | None], None] = lambda refusal: None
    began: float = 0.0
    spare: bool = True
    holding: bool = False
    working: bool = False

    @property
    def criticality(self) -> Criticality:
        return criticality(self.method)


@dataclass(slots=True)
class Counts:
    """What happened since the start, for metrics: labels with few values."""

    admitted: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)


class Admission:
    """Decides. `ask`, then for an admitted call `answered` at its first message and `leave` at its end."""

    def __init__(self, limit: ConcurrencyLimit | None = None) -> None:
        self.limit = limit or ConcurrencyLimit()
        self.counts = Counts()
        self.in_flight = 0
        self._working: Counter[Criticality] = Counter()
        self._queue: FairQueue[Ticket] = FairQueue()
        self._times: dict[str, MethodTimes] = {}
        self._hold = 0.02
        self._turns = 0

    @property
    def working(self) -> int:
        """Calls that hold a place: unary ones until their end, streams until their first message."""
        return self._working.total()

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return len(self._queue)

    def typical(self, method: str) -> float:
        """Median seconds until the answer, or until a stream's first message, of the last calls of a method."""
        times = self._times.get(method)
        return times.typical() if times else 0.0

    def ask(self, ticket: Ticket, now: float) -> Refusal | None:
        """Refuses a call, or admits it: `ticket.working` tells whether it may begin or has to wait for `ticket.settle`."""
        left = ticket.ends - now
        rank = ticket.criticality
        if self.working == 0 and not self._queue:  # an idle server tries: what is never tried is never measured anew
            self._begin(ticket, now)
            return None
        wait = 0.0 if self._may_begin(rank) and not self._queue.ahead(ticket.client, rank) else self._wait(ticket)
        need = wait + self.typical(ticket.method)
        typing = rank is Criticality.INTERACTIVE and left <= PATIENT_SECONDS
        longest = min(left * WAITING_SHARE, TYPING_SECONDS if typing else left)
        if need > left * PATIENCE or wait > longest:
            return self._refuse(ticket, "deadline", need)
        if not wait:
            self._begin(ticket, now)
            return None
        if self.waiting >= MOST_WAITING and self._queue.of(ticket.client) >= MOST_WAITING // (self._queue.clients() + 1):
            return self._refuse(ticket, "share", need)
        self._queue.push(ticket, ticket.client, rank)
        return None

    def answered(self, ticket: Ticket, now: float) -> None:
        """The first message of an answer is out. A stream goes on without a place: from here on it waits for a model or writes
        what there is, and takes whatever time its deadline leaves."""
        if not ticket.holding:
            return
        ticket.holding = False
        self._working[ticket.criticality] -= 1
        seconds = now - ticket.began
        self.limit.took(self._times.setdefault(ticket.method, MethodTimes()).add(seconds, now))
        self._hold += _WEIGHT * (seconds - self._hold)
        self._next(now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """A call ended, or gave up waiting."""
        if not ticket.working:
            self._queue.remove(ticket, ticket.client, ticket.criticality)
            return
        ticket.working = False
        self.in_flight -= 1
        # A client that leaves too little time is late by its own doing: it must not slow down the others.
        self.limit.ended(late=now >= ticket.ends and ticket.spare)
        self.answered(ticket, now)

    def tick(self, now: float, lag: float) -> None:
        """Adapts the limit to the event loop's lag (seconds) and starts those for whom there is room now."""
        self.limit.tick(now, lag)
        self._next(now)

    def _may_begin(self, rank: Criticality) -> bool:
        held = sum(count for one, count in self._working.items() if one >= rank)
        return self.working < int(self.limit) and held < max(1, int(SHARES[rank] * int(self.limit)))

    def _wait(self, ticket: Ticket) -> float:
        places = max(1.0, SHARES[ticket.criticality] * self.limit.value)
        return (self._queue.ahead(ticket.client, ticket.criticality) + 1) * self._hold / places

    def _next(self, now: float) -> None:
        while self.waiting:
            ranks = [rank for rank in Criticality if self._may_begin(rank)]
            low = (self._turns + 1) % LOW_TURN == 0
            ticket = next(filter(None, (self._queue.pop([rank]) for rank in sorted(ranks, reverse=low))), None)
            if ticket is None:
                return
            self._turns += 1
            left = ticket.ends - now
            if self.typical(ticket.method) > left:
                ticket.settle(self._refuse(ticket, "late", self._hold))
            else:
                self._begin(ticket, now)
                ticket.settle(None)

    def _begin(self, ticket: Ticket, now: float) -> None:
        ticket.began, ticket.holding, ticket.working = now, True, True
        ticket.spare = ticket.ends - now > 2 * self.typical(ticket.method)
        self._working[ticket.criticality] += 1
        self.in_flight += 1
        self.limit.saw(self.working)
        self.counts.admitted[ticket.criticality.name.lower()] += 1

    def _refuse(self, ticket: Ticket, reason: str, seconds: float) -> Refusal:
        self.counts.refused[(reason, ticket.criticality.name.lower())] += 1
        return Refusal(reason, min(_LATEST, max(_SOONEST, seconds)))


assert MOST >= MOST_WAITING
