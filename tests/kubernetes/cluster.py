"""Clusters for tests: an API server with nodes that only claim to run, or with one that runs containers."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.kubernetes.programs import HERE, caches, helm, kubectl, locked, programs

PORTS = 6
"""A control plane listens on this many ports in a row."""
OPERATION_SECONDS = 240.0


@dataclass
class ApiServer:
    """A running cluster. `state` holds its data, its logs and `kubeconfig`, with which one may do everything."""

    state: Path
    port: int
    environment: Mapping[str, str]

    @property
    def kubeconfig(self) -> Path:
        """Names the cluster for clients."""
        return self.state / "kubeconfig"

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, seconds: float = OPERATION_SECONDS) -> str:
        """What `kubectl ARGUMENTS` printed. `check`: it must succeed; else what it complained about is part of the answer."""
        return self._run([str(kubectl()), *arguments], stdin, check, seconds)

    def helm(self, *arguments: str, stdin: str | None = None, check: bool = True, seconds: float = OPERATION_SECONDS) -> str:
        """What `helm ARGUMENTS` printed."""
        return self._run([str(helm()), *arguments], stdin, check, seconds)

    def get(self, *arguments: str) -> Any:
        """The object that `kubectl get ARGUMENTS` finds; None where there is no such thing."""
        found = self.kubectl("get", "--ignore-not-found", "-o", "json", *arguments)
        return json.loads(found) if found else None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that `kubectl get ARGUMENTS` lists."""
        return list((self.get(*arguments) or {}).get("items", []))

    def apply(self, *manifests: Mapping[str, Any], namespace: str = "default") -> None:
        """Creates or changes objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "--namespace", namespace, "-f", "-", stdin=json.dumps(listed))

    def until(self, seconds: float, what: str, condition: Callable[[], bool]) -> None:
        """Polls until the condition holds; fails with `what`, and the cluster's last events, at the deadline."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} was not seen within {seconds:.0f} s.\n{self.recent()}"
            time.sleep(0.2)  # each look starts a program

    def recent(self) -> str:
        """Pods and the latest events, for a failure's message."""
        pods = self.kubectl("get", "pods", "-A", "-o", "wide", check=False)
        events = self.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp", check=False)
        return f"{pods}\n" + "\n".join(events.splitlines()[-25:])

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """A namespace of one's own, in which pods may be made; deleted at the end, without waiting for it to be gone."""
        name = f"{prefix}-{uuid.uuid4().hex[:6]}"
        self.kubectl("create", "namespace", name)
        self.until(30, f"the service account of {name}", lambda: self.get("serviceaccount", "default", "-n", name) is not None)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def stop(self) -> None:
        """Ends the control plane, as an outage; its data stay."""
        _script("down.sh", self.state, environment=self.environment)

    def start(self) -> None:
        """Starts the control plane again, with its data."""
        _script("up.sh", self.state, self.port, environment=self.environment)

    def _run(self, command: Sequence[str], stdin: str | None, check: bool, seconds: float) -> str:
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.state), "HELM_NAMESPACE": "default"}
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )
        told = f"{Path(command[0]).name} {' '.join(command[1:])}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not check or done.returncode == 0, f"{told}\n{self.recent() if command[1] != 'get' else ''}"
        return done.stdout if check else done.stdout + done.stderr


@contextmanager
def control_plane(port: int = 0, *, fake_nodes: int = 1) -> Iterator[ApiServer]:
    """etcd, API server, controllers and scheduler on loopback, with `fake_nodes` nodes of kwok's (32 CPUs, 64 GiB each), on
    which pods become Ready and Jobs succeed or fail as annotated.

    `port`: the first of six in a row (0: any free ones).
    """
    environment = {"KUBE_BIN": str(programs()), "KUBE_FAKE_NODES": str(fake_nodes), "KUBE_KWOK": "1" if fake_nodes else "0"}
    with _claimed(port, "down.sh") as (folder, first):
        server = ApiServer(folder, first, environment)
        server.start()
        yield server


@contextmanager
def real_node(port: int = 0, *, images: Sequence[Path] = ()) -> Iterator[ApiServer]:
    """A control plane and one node that runs containers, from images in files only. Needs root. The API server is at
    10.213.0.1, pods are in 10.214.0.0/24; so there is one at a time on a machine, and others wait for it."""
    environment = {"KUBE_BIN": str(programs(node=True))}
    lock = caches() / "kubernetes-node.lock"
    with locked(lock, "another run has the real node"), _claimed(port, "node.sh") as (folder, first):
        _script("node.sh", "up", folder, first, *images, environment=environment)
        yield ApiServer(folder, first, environment)


def import_images(server: ApiServer, *images: Path) -> None:
    """Gives a real node more images."""
    _script("node.sh", "import", server.state, *images, environment=server.environment)


@contextmanager
def _claimed(port: int, ending: str) -> Iterator[tuple[Path, int]]:
    """A state folder and a port that are this process's until the end. What killed runs left is ended first."""
    root = caches() / "kubernetes-clusters"
    root.mkdir(exist_ok=True)
    with locked(root / ".lock", "another run starts a cluster"):
        _end_orphans(root)
        first = port or _free_ports()
        owner = root / f"{first}.json"
        folder = root / str(first)
        folder.mkdir(exist_ok=True)
        claim = {"pid": os.getpid(), "started": psutil.Process().create_time(), "state": str(folder), "ending": ending}
        owner.write_text(json.dumps(claim))
    try:
        yield folder, first
    finally:
        _end(claim)
        owner.unlink()


def _end_orphans(root: Path) -> None:
    for owner in root.glob("*.json"):
        claim = json.loads(owner.read_text())
        if not _alive(claim):
            print(f"ending the cluster that a killed run left in {claim['state']}", flush=True)
            _end(claim)
            owner.unlink()
    for folder in root.iterdir():
        if folder.is_dir() and not folder.with_suffix(".json").exists():
            shutil.rmtree(folder)  # logs of clusters that have ended


def _alive(claim: Mapping[str, Any]) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(claim["pid"]).create_time() == claim["started"])
    return False


def _end(claim: Mapping[str, Any]) -> None:
    folder = Path(claim["state"])
    if folder.exists():
        node = claim["ending"] == "node.sh" and (folder / "node" / "settings").exists()
        _script(*(("node.sh", "down") if node else ("down.sh",)), folder, environment={})
        for data in ("etcd", "node", "volumes"):
            shutil.rmtree(folder / data, ignore_errors=True)  # the logs stay until the next cluster is started


def _free_ports() -> int:
    """The first of six free ones in a row, below those that the system gives to clients."""
    while True:
        first = random.randrange(20_000, 30_000, 10)
        if all(map(_free, range(first, first + PORTS))):
            return first


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _script(name: str, *arguments: object, environment: Mapping[str, str]) -> None:
    command = [str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
