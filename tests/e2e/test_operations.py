"""What an operator sees: readiness, metrics, health and settings of every process."""

import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.engines import SERVICES, Engine
from tests.metric_pages import documented, shown
from tests.servers import wait_until

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


@pytest.fixture(scope="module")
def pages(engine: Engine, shop: Path) -> dict[str, str]:
    """What /metrics of each process answers after the main job, by the process' services."""
    engine.command("complete", f"{shop}/shop/cart.py:21:16", "--json", "--deadline", "8000")
    doors = {name.removesuffix("ops").strip(): door for name, door in engine.addresses.items() if "ops" in name}
    found: dict[str, str] = {}

    def told() -> bool:  # repositories are looked up every five seconds at most
        found.update({name or ", ".join(SERVICES): get(door, "/metrics")[1] for name, door in doors.items()})
        return any("nearcode_repository_info{" in page for page in found.values())

    wait_until(told, 20, lambda: "no process tells of the repository")
    return found


def test_every_process_shows_the_metrics_of_its_services_as_documented(pages: dict[str, str]) -> None:
    known = documented()
    for services, page in pages.items():
        found = shown(page)
        expected = {
            name
            for name, family in known.items()
            if family.shown_by == "every" or set(family.shown_by.split(", ")) & set(services.split(", "))
        }
        assert set(found) == expected, services
        for name, family in found.items():
            assert (family.kind, family.text) == (known[name].kind, known[name].text), name
            assert family.labels <= known[name].labels, name


def test_metrics_are_named_as_prometheus_wants_and_say_what_was_done(pages: dict[str, str]) -> None:
    for page in pages.values():
        for name, family in shown(page).items():
            assert re.fullmatch(r"(nearcode|rpc)(_[a-z]+)+", name), name
            assert family.text.endswith("."), name
            assert not re.search(r"_(ms|millis|minutes|kb|mb|percent)(_|$)", name), f"{name}: base units"
            assert family.kind != "histogram" or name.endswith(("_seconds", "_chunks")), f"{name}: a unit"
        if promtool := shutil.which("promtool"):
            checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True)
            assert checked.returncode == 0, checked.stdout + checked.stderr
    all_pages = "\n".join(pages.values())
    for line in (
        r'nearcode_answers_total{degraded="\w*",kind="completion",plan="[\w-]+"} [1-9]',
        r'nearcode_event_handler_seconds_count{event="ChunksCut",outcome="done"} [1-9]',
        r'nearcode_stage_spent_seconds_count{stage="rank"} [1-9]',
        r'nearcode_embedding_batch_chunks_count{profile="nearcode-static-1"} [1-9]',
        r'nearcode_index_coverage_ratio{repository="r\w{20}",role="active",space="completion"} 1.0',
        r'nearcode_repository_behind_seconds{repository="r\w{20}"} 0.0',
        r'nearcode_queue_messages{stage="cut",stream="work"} \d',
        r'nearcode_retrievals_total{plan="\w+"} [1-9]',
        r"nearcode_recheck_dropped_total \d",
    ):
        assert re.search(line, all_pages), line


def test_the_last_check_has_nothing_to_drop_while_no_revision_switches(engine: Engine, shop: Path) -> None:
    before = dropped(engine)
    engine.command("search", "total of the cart", "--repo", str(shop), "--json")
    engine.command("complete", f"{shop}/shop/cart.py:21:16", "--json", "--deadline", "8000")
    assert dropped(engine) == before


def dropped(engine: Engine) -> float:
    """Hits that the last check dropped since the engine was started."""
    doors = [address for name, address in engine.addresses.items() if "ops" in name]
    pages = "".join(get(door, "/metrics")[1] for door in doors)
    return sum(float(count) for count in re.findall(r"^nearcode_recheck_dropped_total (\S+)", pages, re.MULTILINE))


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
