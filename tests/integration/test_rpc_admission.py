"""A server that has too much to do: who is let in, who waits, who is refused, and what a caller is told."""

import asyncio
from contextlib import aclosing

from grpc_health.v1 import health_pb2
from nearcode.domain.errors import Reason, Unavailable
from nearcode.runtime.admission import Admission
from nearcode.runtime.channel import Client
from nearcode.runtime.concurrency_limit import ConcurrencyLimit

from tests.integration.rpc_world import World, eventually, failure, world

RETRIEVE = "nearcode.api.retrieval.v1.RetrievalService/Retrieve"
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


def narrow() -> Admission:
    """Room for two calls at once."""
    return Admission(ConcurrencyLimit(value=2.0))


async def fill(here: World) -> list["asyncio.Task[object]"]:
    """Two calls that work until they are cancelled."""
    asking: list[asyncio.Task[object]] = [asyncio.create_task(here.ask("wait", seconds=60.0)) for _ in range(2)]
    await eventually(lambda: here.finder.running == 2)
    return asking


async def test_a_call_waits_for_its_turn() -> None:
    admission = narrow()
    async with world(admission=admission) as here:
        asking = await fill(here)
        third = asyncio.create_task(here.ask(seconds=30.0))
        await eventually(lambda: admission.waiting == 1)
        assert len(here.finder.calls) == 2
        for task in asking:
            task.cancel()
        await third
        await eventually(lambda: admission.working == admission.in_flight == admission.waiting == 0)


async def test_a_call_that_cannot_be_in_time_is_refused_with_a_time_to_come_back() -> None:
    admission = narrow()
    async with world(admission=admission) as here:
        asking = await fill(here)
        error = await failure(here.ask(seconds=0.04))
        assert isinstance(error, Unavailable) and error.reason is Reason.OVERLOADED and error.retry_after > 0
        assert len(here.finder.calls) == 2
        assert admission.counts.refused == {("deadline", "interactive"): 1}
        assert [(method, code) for method, code, _ in here.observed] == [(RETRIEVE, "RESOURCE_EXHAUSTED")]
        for task in asking:
            task.cancel()


async def test_a_caller_who_gives_up_waiting_leaves_nothing_behind() -> None:
    admission = narrow()
    async with world(admission=admission) as here:
        asking = await fill(here)
        waiting = [asyncio.create_task(here.ask(seconds=30.0)) for _ in range(5)]
        await eventually(lambda: admission.waiting == 5)
        for task in [*waiting, *asking]:
            task.cancel()
        await eventually(lambda: admission.working == admission.in_flight == admission.waiting == 0)
        assert len(here.finder.calls) == 2
        await here.ask()


async def test_health_is_told_while_nobody_else_gets_in() -> None:
    async with world(admission=narrow()) as here:
        asking = await fill(here)
        health = Client(here.channel, HEALTH)
        assert (await health.unary("Check", health_pb2.HealthCheckRequest(), seconds=5.0)).status == 1
        for task in asking:
            task.cancel()


async def test_streams_that_have_begun_keep_nobody_out() -> None:
    admission = narrow()
    async with world(admission=admission) as here:
        streams = [here.write(seconds=30.0) for _ in range(10)]
        for texts in streams:
            await anext(texts)
        assert admission.in_flight == 10
        await here.ask()
        for texts in streams:
            async with aclosing(texts):
                pass
        await eventually(lambda: admission.in_flight == 0)


async def test_a_failed_call_gives_its_place_back() -> None:
    admission = narrow()
    async with world(admission=admission) as here:
        here.finder.failure = KeyError("a bug")
        for _ in range(20):
            await failure(here.ask())
        assert admission.working == admission.in_flight == 0
        assert admission.counts.admitted == {"interactive": 20}
