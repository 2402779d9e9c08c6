"""Events of what was done come after the answers, in their own traces, and none is lost when the engine stops."""

import asyncio
from contextvars import ContextVar
from time import monotonic

from google.protobuf.message import Message
from nearcode.api.events.v1 import events_pb2
from nearcode.domain.errors import Unavailable
from nearcode.gateway import telling
from nearcode.gateway.telling import Teller

from tests.unit.memory_stores import MemoryBus

TRACE = ContextVar("trace", default="")


class Recording(MemoryBus):
    """Remembers when each event was published, and in which trace."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str, float]] = []

    async def publish(self, event: Message, *, message_id: str, queue: str = "small") -> None:
        if message_id == "refused":
            raise Unavailable("the broker is away")
        self.told.append((message_id, TRACE.get(), monotonic()))


async def test_events_wait_for_a_pause_and_keep_their_traces() -> None:
    bus = Recording()
    teller, began = Teller(bus), monotonic()
    for number in range(3):
        TRACE.set(f"trace {number}")
        teller.tell(events_pb2.ContextRetrieved(), f"{number}")
        await asyncio.sleep(0.01)
        assert not bus.told
    await asyncio.sleep(telling.LONGEST)
    assert [(name, trace) for name, trace, _ in bus.told] == [(f"{number}", f"trace {number}") for number in range(3)]
    assert all(at - began >= telling.PAUSE for _, _, at in bus.told)
    await teller.close()


async def test_no_event_waits_for_ever_for_a_pause() -> None:
    bus, began = Recording(), monotonic()
    teller = Teller(bus)
    while not bus.told and monotonic() - began < 20 * telling.LONGEST:
        teller.tell(events_pb2.ContextRetrieved(), "one of many")
        await asyncio.sleep(telling.PAUSE / 5)
    assert bus.told
    await teller.close()


async def test_what_waits_is_published_at_the_end_and_a_refusal_costs_no_other_event() -> None:
    bus = Recording()
    teller = Teller(bus)
    for name in ("first", "refused", "last"):
        teller.tell(events_pb2.ContextRetrieved(), name)
    await teller.close()
    assert [name for name, _, _ in bus.told] == ["first", "last"]
    await Teller(bus).close()
