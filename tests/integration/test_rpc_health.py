"""Health follows dependencies, over gRPC and over HTTP; operators and probes get in, web pages do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from nearcode.domain.errors import Conflict, InvalidRequest, NotFound, Reason, Unavailable
from nearcode.runtime.channel import Client, connect
from nearcode.runtime.health import Health
from nearcode.runtime.metrics import RpcMetrics
from nearcode.runtime.ops import OpsServer
from prometheus_client import CollectorRegistry

from tests.integration.rpc_world import RETRIEVAL, World, eventually, failure, world

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Switch:
    """A dependency that can be broken in several ways."""

    state = "good"

    async def __call__(self) -> bool:
        if self.state == "refuses":
            raise Unavailable("down")
        if self.state == "buggy":
            raise KeyError("bug")
        if self.state == "silent":
            await asyncio.sleep(3600)
        return self.state == "good"


async def status(here: World, service: str = "") -> int:
    client = Client(connect(here.server.address), HEALTH)  # without a token, as probes are
    answer = await client.unary("Check", health_pb2.HealthCheckRequest(service=service), seconds=5.0)
    return int(answer.status)


@pytest.mark.parametrize("broken", ["bad", "refuses", "buggy", "silent"])
async def test_health_follows_a_dependency_down_and_up_again(broken: str) -> None:
    switch, health = Switch(), Health(interval=0.01, patience=0.05)
    health.add("index", switch)
    await health.start()
    assert health.ready
    switch.state = broken
    await eventually(lambda: health.failing == ["index"])
    switch.state = "good"
    await eventually(lambda: health.ready)
    await health.stop()


async def test_probes_see_a_dependency_go_and_come_back() -> None:
    async with world() as here:
        switch = Switch()
        here.health.add("index", switch)
        assert await status(here) == await status(here, RETRIEVAL.full_name) == SERVING
        switch.state = "bad"
        await eventually(lambda: not here.health.ready)
        assert await status(here) == await status(here, RETRIEVAL.full_name) == NOT_SERVING
        switch.state = "good"
        await eventually(lambda: here.health.ready)
        assert await status(here) == SERVING


async def test_a_service_that_is_not_here_is_not_found() -> None:
    async with world() as here:
        assert isinstance(await failure(status(here, "nearcode.api.Guess")), NotFound)


async def test_all_watchers_are_told_of_each_change_and_of_the_end() -> None:
    async with world() as here:
        client, switch = Client(here.channel, HEALTH), Switch()
        here.health.add("index", switch)
        streams = [client.stream("Watch", health_pb2.HealthCheckRequest(), seconds=30.0) for _ in range(3)]
        assert [(await anext(stream)).status for stream in streams] == [SERVING] * 3
        await streams.pop().aclose()
        switch.state = "bad"
        assert [(await anext(stream)).status for stream in streams] == [NOT_SERVING] * 2
        switch.state = "good"
        assert [(await anext(stream)).status for stream in streams] == [SERVING] * 2
        stopping = asyncio.create_task(here.server.stop())
        assert [(await anext(stream)).status for stream in streams] == [NOT_SERVING] * 2
        for stream in streams:
            assert isinstance(await failure(anext(stream)), Unavailable)
        await asyncio.wait_for(stopping, 5)


async def reflected(here: World, token: str | None) -> list[str]:
    call = here.channel.connection.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(metadata=[("authorization", f"Bearer {token}")])
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await call.done_writing()
    return [service.name async for answer in call for service in answer.list_services_response.service]


async def test_reflection_lists_the_services_to_who_has_the_token() -> None:
    async with world() as here:
        assert {RETRIEVAL.full_name, "grpc.health.v1.Health"} <= set(await reflected(here, "ada"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reflected(here, "bob")
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@asynccontextmanager
async def ops(health: Health | None = None) -> AsyncIterator[tuple[OpsServer, CollectorRegistry, aiohttp.ClientSession]]:
    registry = CollectorRegistry()
    server = OpsServer("127.0.0.1:0", registry, health or Health(), lambda diff: f"diff = {diff}\n")
    async with server, aiohttp.ClientSession(f"http://{server.address}") as session:
        yield server, registry, session


async def fetch(session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str]:
    async with session.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_readyz_names_what_fails_and_livez_does_not_care() -> None:
    health, switch = Health(), Switch()
    health.add("index", switch)
    switch.state = "bad"
    await health.refresh()
    async with ops(health) as (_, _, session):
        assert await fetch(session, "/readyz") == (503, "index fails\n")
        assert await fetch(session, "/livez") == (200, "ok\n")
        switch.state = "good"
        await health.refresh()
        assert await fetch(session, "/readyz") == (200, "ok\n")
        health.drain()
        assert (await fetch(session, "/readyz"))[0] == 503


async def test_metrics_count_calls_by_method_and_code() -> None:
    async with ops() as (_, registry, session):
        metrics = RpcMetrics(registry)
        metrics.observe("a.B/C", "OK", 0.02)
        status, text = await fetch(session, "/metrics")
        line = 'rpc_server_call_duration_seconds_bucket{le="0.025",rpc_method="a.B/C",rpc_response_status_code="OK"} 1.0'
        assert status == 200 and line in text


async def test_config_prints_all_settings_or_only_the_difference() -> None:
    async with ops() as (_, _, session):
        assert await fetch(session, "/config") == (200, "diff = False\n")
        assert await fetch(session, "/config?diff") == (200, "diff = True\n")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[", "127.0.0.1.evil.example"]
)
async def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    async with ops() as (_, _, session):
        assert (await fetch(session, "/metrics", Host=host))[0] in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:9", "10.1.2.3:80"])
async def test_loopback_names_and_bare_addresses_are_ours(host: str) -> None:
    async with ops() as (_, _, session):
        assert (await fetch(session, "/livez", Host=host))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
async def test_a_page_of_another_site_is_refused(origin: str) -> None:
    async with ops() as (_, _, session):
        assert (await fetch(session, "/config", Origin=origin))[0] == 403


async def test_a_page_of_our_own_is_served() -> None:
    async with ops() as (server, _, session):
        assert (await fetch(session, "/config", Origin=f"http://{server.address}"))[0] == 200


async def test_a_taken_port_is_refused_by_name_over_http_too() -> None:
    async with ops() as (server, registry, _):
        error = await failure(OpsServer(server.address, registry, Health(), str).start())
        assert isinstance(error, Conflict) and error.reason is Reason.ADDRESS_IN_USE


@pytest.mark.parametrize("place", ["nonsense", "127.0.0.1:http", "192.0.2.1:0", "no.invalid:0", "127.0.0.1:70000"])
async def test_a_place_for_http_that_is_none_is_an_invalid_setting(place: str) -> None:
    error = await failure(OpsServer(place, CollectorRegistry(), Health(), str).start())
    assert isinstance(error, InvalidRequest) and error.reason is Reason.INVALID_SETTING
