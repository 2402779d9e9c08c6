"""A real Triton server without a GPU: NVIDIA's server and Python backend out of the wheel `nvidia-pytriton`.

The backend's stub is a program linked against the distribution's libpython, so the models run in a virtual environment of
`/usr/bin/python3`. It is made once, outside the checkout, with pinned versions.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers import ComponentMissing, Server, free_port, wait_until

PYTHON = Path("/usr/bin/python3")
WHEEL = "nvidia-pytriton==0.7.0"
WHEEL_SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
PACKAGES = (
    "numpy==1.26.4",  # the stub cannot load numpy 2
    "onnxruntime==1.31.1",  # as in uv.lock: throughput is compared with it
    "tokenizers==0.23.3",
    "flatbuffers==25.12.19",
    "packaging==26.3",
    "protobuf==6.33.6",
)
_PROBE = (
    "import ctypes, ensurepip, sys, sysconfig; ctypes.CDLL(sysconfig.get_config_var('INSTSONAME')); "
    "print('%d.%d' % sys.version_info[:2])"
)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where Triton's parts lie."""

    tritonserver: Path
    backends: Path
    libraries: Path
    binaries: Path


class TritonServer(Server):
    """Ends its models' processes with it: a killed server may leave them waiting for it, with their shared memory."""

    def pause(self) -> None:
        """Returns when every thread stands still: one that runs on would still answer."""
        super().pause()
        wait_until(lambda: self._states() == {"T"}, 10, lambda: f"threads of Triton run on: {self._states()}")

    def _states(self) -> set[str]:
        """Those of its threads, as in proc(5); T is stopped."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}

    def _end(self, how: signal.Signals) -> None:
        alive = self.process and self.process.poll() is None
        stubs = psutil.Process(self.pid).children(recursive=True) if alive else []
        commands = [stub.cmdline() for stub in stubs]
        super()._end(how)
        for stub in psutil.wait_procs(stubs, timeout=2.0)[1]:
            stub.kill()
        for region in {word for command in commands for word in command if word.startswith("triton_python_backend_shm_region")}:
            Path("/dev/shm", region).unlink(missing_ok=True)


@contextmanager
def triton_server(
    folder: Path, repository: Path, *, environment: Mapping[str, str] | None = None, explicit: bool = False
) -> Iterator[Server]:
    """Triton with the models of `repository`, on its ports `http`, `grpc` and `metrics`.

    `environment` reaches the models. `explicit`: models are loaded and unloaded by the client, all are loaded at the start.
    """
    found = triton_installation()
    folder.mkdir(parents=True, exist_ok=True)
    ports = {"http": free_port(), "grpc": free_port(), "metrics": free_port()}
    command = [str(found.tritonserver), f"--model-repository={repository}", f"--backend-directory={found.backends}"]
    for name in ("http", "grpc", "metrics"):
        command += [f"--{name}-address=127.0.0.1", f"--{name}-port={ports[name]}"]
    command += ["--disable-auto-complete-config", "--backend-config=python,shm-default-byte-size=4194304"]
    command += ["--exit-timeout-secs=5", "--metrics-interval-ms=200"]
    if explicit:
        command += ["--model-control-mode=explicit", "--load-model=*"]
    variables = {
        "LD_LIBRARY_PATH": str(found.libraries),
        "PATH": f"{found.binaries}{os.pathsep}{os.environ['PATH']}",
        "OMP_WAIT_POLICY": "passive",
        **(environment or {}),
    }
    ready = f"http://127.0.0.1:{ports['http']}/v2/health/ready"
    server = TritonServer(command, ports, ready, folder / "triton.log", variables)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def triton_installation() -> Installation:
    """Triton's files, made once. Raises ComponentMissing naming the Debian packages that are not there."""
    version = _system_python()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nearcode-tests")
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"triton-{WHEEL.partition('==')[2]}-py{version}"
    pins = "\n".join((WHEEL, WHEEL_SHA256, *PACKAGES))
    with Path(cache, "triton.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = home / "pins"
        if not (made.exists() and made.read_text() == pins):
            shutil.rmtree(home, ignore_errors=True)
            _make(home, version)
            made.write_text(pins)
    packages = home / "venv" / "lib" / f"python{version}" / "site-packages"
    server = packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    return Installation(server, home / "backends", packages / "nvidia_pytriton.libs", home / "venv" / "bin")


def _system_python() -> str:
    """Its version, like 3.11, if it can carry the stub."""
    cure = "Install the Debian packages python3-venv and libpython3.11 (or libpython3.x of that Python's version)."
    if not PYTHON.exists():
        raise ComponentMissing(f"Tests need a real Triton server, and that needs {PYTHON}. {cure}")
    done = subprocess.run([str(PYTHON), "-c", _PROBE], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise ComponentMissing(f"{PYTHON} cannot carry Triton's Python backend: {done.stderr.splitlines()[-1]}. {cure}")
    return done.stdout.strip()


def _make(home: Path, version: str) -> None:
    venv = home / "venv"
    _run([str(PYTHON), "-m", "venv", str(venv)])
    install = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    install += ["--no-deps", "--only-binary=:all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
        pinned.flush()
        _run([*install, "--require-hashes", "-r", pinned.name])
    _run([*install, *PACKAGES])
    parts = venv / "lib" / f"python{version}" / "site-packages" / "pytriton" / "tritonserver"
    backend = home / "backends" / "python"
    backend.mkdir(parents=True)
    for part in (
        "backends/python/libtriton_python.so",
        "backends/python/triton_python_backend_utils.py",
        f"python_backend_stubs/{version}/triton_python_backend_stub",
    ):
        shutil.copy2(parts / part, backend)
    (backend / "triton_python_backend_stub").chmod(0o755)
    (parts / "bin" / "tritonserver").chmod(0o755)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise ComponentMissing(f"`{' '.join(command)}` failed; check the package index and try again:\n{done.stderr[-2000:]}")
