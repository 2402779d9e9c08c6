"""The door for probes: plaintext, as a kubelet asks, and nothing but health."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nearcode.domain.errors import Conflict, InvalidRequest
from nearcode.runtime.health import Health
from nearcode.runtime.probes import Probes

from tests.integration.rpc_world import eventually

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def ask(probes: Probes, service: str) -> int:
    port = probes.address.rpartition(":")[2]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return int(answer.status)


async def test_a_process_that_is_not_ready_is_alive_until_it_ends() -> None:
    good = False

    async def check() -> bool:
        return good

    health = Health(interval=0.01)
    health.add("index", check)
    await health.start()
    async with Probes("0.0.0.0:0", health) as probes:  # beyond loopback: a kubelet asks the pod's address
        assert [await ask(probes, name) for name in ("", "readyz", "livez")] == [NOT_SERVING, NOT_SERVING, SERVING]
        good = True
        await eventually(lambda: health.ready)
        assert [await ask(probes, name) for name in ("", "readyz", "livez")] == [SERVING, SERVING, SERVING]
        health.drain()
        assert [await ask(probes, name) for name in ("", "readyz", "livez")] == [NOT_SERVING, NOT_SERVING, SERVING]
    await health.stop()


async def test_nothing_else_is_answered() -> None:
    async with Probes("127.0.0.1:0", Health()) as probes:
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await ask(probes, "nearcode.api.retrieval.v1.RetrievalService")
        assert told.value.code() == grpc.StatusCode.NOT_FOUND
        async with grpc.aio.insecure_channel(probes.address) as channel:
            call = channel.unary_unary("/nearcode.api.repositories.v1.RepositoriesService/List")
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await call(b"", timeout=5)
            assert told.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_wrong_place_is_told() -> None:
    async with Probes("127.0.0.1:0", Health()) as probes:
        with pytest.raises(Conflict, match="in use"):
            await Probes(probes.address, Health()).start()
    with pytest.raises(InvalidRequest, match="no host:port"):
        await Probes("8087", Health()).start()
