"""Processes that start in any order: each waits for what it needs, alive but not ready, and ends when it is asked to."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.engines import NEARCODE, environment
from tests.servers import Server, free_port, nats_server, qdrant_server, wait_until

SECONDS = 60.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A broker and an index."""
    folder = tmp_path_factory.mktemp("servers")
    with nats_server(folder / "nats") as nats, qdrant_server(folder / "qdrant") as qdrant:
        yield nats, qdrant


@contextmanager
def running(home: Path, servers: tuple[Server, Server], *command: str, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    nats, qdrant = servers
    places = {
        "NEARCODE_EVENTS__URL": nats.url,
        "NEARCODE_EVENTS__MONITOR_URL": nats.monitor_url,
        "NEARCODE_INDEX__URL": qdrant.url,
        "NEARCODE_INDEX__GRPC_PORT": str(qdrant.ports["grpc"]),
        "NEARCODE_INGESTION__ADDRESS": f"127.0.0.1:{free_port()}",
    }
    env = environment(home, **(places | settings))
    with (home / "log").open("w") as log:
        process = subprocess.Popen([*NEARCODE, *command, "--json"], env=env, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def health(port: int, service: str) -> str:
    """What a probe is told; `silent` when nobody answers."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)
        except grpc.RpcError:
            return "silent"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def until(port: int, service: str, expected: str) -> None:
    wait_until(lambda: health(port, service) == expected, SECONDS, lambda: f"{service} says {health(port, service)}")


def said(home: Path, words: str) -> None:
    wait_until(lambda: words in (home / "log").read_text(), SECONDS, lambda: (home / "log").read_text()[-2000:])


@pytest.mark.parametrize("command", [("run", "embedding"), ("work", "r" + "0" * 20, "--generation", "1")], ids=["run", "work"])
def test_a_process_waits_for_its_servers_and_is_ready_when_they_are(
    command: tuple[str, ...], servers: tuple[Server, Server], tmp_path: Path
) -> None:
    nats, qdrant = servers
    nats.stop()
    qdrant.stop()
    port = free_port()
    try:
        with running(tmp_path, servers, *command, NEARCODE_OPS__PROBES=f"127.0.0.1:{port}") as process:
            until(port, "livez", "SERVING")
            assert health(port, "readyz") == "NOT_SERVING"
            said(tmp_path, "waiting for a dependency")
            nats.start()
            said(tmp_path, '"reason": "INDEX_UNAVAILABLE"')
            assert (health(port, "readyz"), health(port, "livez")) == ("NOT_SERVING", "SERVING")
            qdrant.start()
            assert process.stdout
            assert json.loads(process.stdout.readline())["probes"] == f"127.0.0.1:{port}"
            if command[0] == "run":
                until(port, "readyz", "SERVING")
                process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
    finally:
        for server in servers:
            if server.process is None:
                server.start()


@pytest.mark.parametrize(
    ("command", "code"), [(("run", "chunking"), 0), (("work", "r" + "0" * 20, "--generation", "1"), 143)], ids=["run", "work"]
)
def test_who_waits_ends_when_asked_to(
    command: tuple[str, ...], code: int, servers: tuple[Server, Server], tmp_path: Path
) -> None:
    absent = (Server([], {"client": free_port(), "http": free_port()}, "", tmp_path / "none"), servers[1])
    with running(tmp_path, absent, *command) as process:
        said(tmp_path, "waiting for a dependency")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == code
        assert time.monotonic() - began < 10


def test_what_waiting_does_not_mend_ends_the_process(servers: tuple[Server, Server], tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.pem")
    certificates = {f"NEARCODE_TLS__{name}_FILE": absent for name in ("CA", "CERT", "KEY")}
    with running(tmp_path, servers, "run", "chunking", **certificates) as process:
        assert process.wait(SECONDS) == 2
        said(tmp_path, absent)
    with running(tmp_path, servers, "run", "chunking", NEARCODE_EVENTS__MONITOR_URL="") as process:
        assert process.wait(SECONDS) == 2
        said(tmp_path, "events.monitor_url")
