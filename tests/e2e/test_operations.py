"""What an operator sees: readiness, metrics, health and settings of every process."""

import re
import urllib.error
import urllib.request

import grpc
from grpc_health.v1 import health_pb2

from tests.engines import Engine

HEALTH = "/grpc.health.v1.Health/Check"


def get(address: str, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_every_process_is_ready_and_counts_its_calls(engine: Engine) -> None:
    engine.command("status")
    doors = [address for name, address in engine.addresses.items() if "ops" in name]
    assert len(doors) == len(engine.processes)
    for door in doors:
        assert get(door, "/livez")[0] == 200
        assert get(door, "/readyz")[0] == 200
        status, metrics = get(door, "/metrics")
        assert status == 200
        assert re.search(r'nearcode_build_info\{version="[^"]+"\} 1.0', metrics)
    assert any("RepositoriesService/List" in get(door, "/metrics")[1] for door in doors)


def test_a_web_page_cannot_read_what_operators_read(engine: Engine) -> None:
    door = next(address for name, address in engine.addresses.items() if "ops" in name)
    assert get(door, "/metrics", Host="evil.example")[0] == 403
    assert get(door, "/metrics", Origin="https://evil.example")[0] == 403


async def test_every_service_tells_its_health_over_grpc(engine: Engine) -> None:
    for name, address in engine.addresses.items():
        if "ops" in name:
            continue
        async with grpc.aio.insecure_channel(address) as channel:
            body = await channel.unary_unary(HEALTH)(health_pb2.HealthCheckRequest().SerializeToString(), timeout=10)
        assert health_pb2.HealthCheckResponse.FromString(body).status == health_pb2.HealthCheckResponse.SERVING


def test_doctor_finds_every_dependency_healthy(engine: Engine) -> None:
    checks = {check["name"]: check for check in engine.json("doctor", "--json")}
    assert {"python", "home", "git", "event broker", "embedding model", "engine", "language model"} <= set(checks)
    assert all(check["healthy"] for check in checks.values())
    assert checks["engine"]["found"] == "running" or len(engine.processes) > 1
