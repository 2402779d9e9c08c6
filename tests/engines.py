"""Real engines for end-to-end tests: all in one process, or one process per service over a real NATS and Qdrant."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.certificates import Authority
from tests.servers import free_port, nats_server, qdrant_server

NEARCODE = [sys.executable, "-m", "nearcode"]
SERVICES = ("gateway", "ingestion", "chunking", "embedding", "retrieval", "generation")
START_SECONDS = 60.0


@dataclass
class Engine:
    """A running engine and the command line that finds it."""

    home: Path
    environment: dict[str, str]
    addresses: dict[str, str] = field(default_factory=dict)
    processes: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def command(self, *arguments: str, stdin: str | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs `nearcode ARGUMENTS` and returns what it printed."""
        result = subprocess.run(
            [*NEARCODE, *arguments], env=self.environment, input=stdin, capture_output=True, text=True, timeout=240, check=False
        )
        assert not check or result.returncode == 0, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        """The JSON objects that a command prints, one a line."""
        return [json.loads(line) for line in self.command(*arguments, stdin=stdin).stdout.splitlines()]

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts `nearcode ARGUMENTS`, which goes on beside the test."""
        with (self.home / f"{arguments[0]}.log").open("a") as errors:
            command = [*NEARCODE, *arguments]
            return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=errors, text=True)

    def work(self, repository: str, generation: int) -> "subprocess.Popen[str]":
        """Starts a process of an indexing Job, as one of its pods would, and waits until it works."""
        process = self.begin("work", repository, "--generation", str(generation), "--json")
        assert process.stdout
        assert json.loads(process.stdout.readline())["repository"] == repository
        return process

    def spans(self) -> list[dict[str, Any]]:
        """Every span that was written so far."""
        file = self.home / "spans.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def environment(home: Path, **settings: str) -> dict[str, str]:
    """What a command needs to find the home, and no setting of the surrounding shell."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEARCODE_")}
    spans = {"NEARCODE_TELEMETRY__SPANS": "file", "NEARCODE_TELEMETRY__SPANS_FILE": str(home / "spans.jsonl")}
    return {**inherited, **spans, "NEARCODE_HOME": str(home), "NO_COLOR": "1", **settings}


def start(command: list[str], env: dict[str, str], log: Path) -> "tuple[subprocess.Popen[str], dict[str, str]]":
    """Starts `nearcode run` and waits until it says where it listens."""
    with log.open("a") as errors:
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line, f"{command} did not start:\n{log.read_text()[-3000:]}"
    return process, json.loads(line)


def stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def one_process(home: Path, **settings: str) -> Iterator[Engine]:
    """`nearcode run`: everything in one process, with children for the broker, the index, the parsers and the model."""
    home.mkdir(parents=True, exist_ok=True)
    env = environment(home, **settings)
    process, addresses = start([*NEARCODE, "run", "--json"], env, home / "run.log")
    try:
        yield Engine(home, env, addresses, [process])
    finally:
        stop(process)


@contextmanager
def process_per_service(home: Path, authority: Authority | None = None, **settings: str) -> Iterator[Engine]:
    """`nearcode run SERVICE` six times, over one NATS and one Qdrant server. `authority`: all connections between them are
    encrypted with its certificates, and services and the broker ask each other for theirs."""
    home.mkdir(parents=True, exist_ok=True)
    pair = authority.issue() if authority else None
    with ExitStack() as stack:
        clients = authority.ca if authority else None
        nats = stack.enter_context(nats_server(home / "nats-server", pair=pair, clients=clients))
        qdrant = stack.enter_context(qdrant_server(home / "qdrant-server", pair=pair))
        env = environment(home, **settings)
        if authority and pair:
            env |= {"NEARCODE_TLS__CA_FILE": str(authority.ca), "NEARCODE_TLS__CERT_FILE": str(pair.cert)}
            env["NEARCODE_TLS__KEY_FILE"] = str(pair.key)
        env |= {
            "NEARCODE_EVENTS__URL": nats.url,
            "NEARCODE_EVENTS__MONITOR_URL": nats.monitor_url,
            "NEARCODE_INDEX__URL": qdrant.url,
        }
        env["NEARCODE_INDEX__GRPC_PORT"] = str(qdrant.ports["grpc"])
        for service in SERVICES:
            address = f"127.0.0.1:{free_port()}"
            env[f"NEARCODE_{service.upper()}__LISTEN"] = env[f"NEARCODE_{service.upper()}__ADDRESS"] = address
        engine = Engine(home, env)
        for service in reversed(SERVICES):
            process, addresses = start([*NEARCODE, "run", service, "--json"], env, home / f"{service}.log")
            stack.callback(stop, process)
            engine.processes.append(process)
            engine.addresses[service] = addresses["grpc"]
            engine.addresses[f"{service} ops"] = addresses["ops"]
        yield engine
