"""Admission control in an event loop: calls wait here, and the loop's lag is measured while there are any."""

import asyncio
import time
from dataclasses import dataclass

from nearcode.domain.errors import Reason, Unavailable
from nearcode.runtime.admission import OPEN, Admission, Refusal, Ticket

_BEAT_SECONDS = 0.02
"""Between two looks at the lag: five in each window of the limit."""


@dataclass(frozen=True, slots=True)
class Place:
    """What an admitted call holds. `answered` at the first message of its answer, `leave` at its end."""

    admission: Admission | None = None
    ticket: Ticket | None = None

    def answered(self) -> None:
        if self.admission and self.ticket:
            self.admission.answered(self.ticket, time.monotonic())

    def leave(self) -> None:
        if self.admission and self.ticket:
            self.admission.leave(self.ticket, time.monotonic())


class Gate:
    """Lets calls in as `admission` decides; without one, all of them."""

    def __init__(self, admission: Admission | None = None) -> None:
        self._admission = admission
        self._beating = False

    async def enter(self, method: str, client: str, seconds: float) -> Place:
        """Waits for a place. Raises Unavailable (OVERLOADED), at once when none will be free in time."""
        admission = self._admission
        if admission is None or method.startswith(OPEN):
            return Place()
        self._beat(asyncio.get_running_loop())
        now = time.monotonic()
        ticket = Ticket(method, client, now + seconds)
        refusal = admission.ask(ticket, now)
        if refusal is None and not ticket.working:
            refusal = await self._turn(admission, ticket)
        if refusal:
            raise Unavailable("too many calls for now: try again later", Reason.OVERLOADED, refusal.retry_after)
        return Place(admission, ticket)

    async def _turn(self, admission: Admission, ticket: Ticket) -> Refusal | None:
        turn: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        ticket.settle = lambda refusal: None if turn.done() else turn.set_result(refusal)
        try:
            return await turn
        except asyncio.CancelledError:
            admission.leave(ticket, time.monotonic())
            raise

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float = 0.0) -> None:
        """Starts to measure, or goes on; ends with the last call, so that an idle process sleeps."""
        assert self._admission
        if due == 0.0 and self._beating:
            return
        now = loop.time()
        if due:
            self._admission.tick(time.monotonic(), max(0.0, now - due))
        self._beating = bool(due == 0.0 or self._admission.in_flight or self._admission.waiting)
        if self._beating:
            loop.call_at(now + _BEAT_SECONDS, self._beat, loop, now + _BEAT_SECONDS)
