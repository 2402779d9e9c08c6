"""The files that the chart makes do what they are for: real servers start with them, and real answers come back."""

import asyncio
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import nats.errors
import pytest
from cryptography import x509
from nearcode import settings
from nearcode.adapters.nats_safety import look
from nearcode.engine import client
from nearcode.runtime.child import leashed

from tests.certificates import Authority
from tests.chart.rendering import CHART, Rendered, variation
from tests.engines import one_process
from tests.git_server import git_server
from tests.servers import free_port, qdrant_binary, wait_until

ONE = "production, one of each"


def lay_out(rendered: Rendered, component: str, files: dict[str, tuple[str, str]], folder: Path) -> None:
    """Writes files of Secrets as a pod has them: path -> (Secret's name, key)."""
    for path, (secret, key) in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(rendered.secret(f"nearcode-{secret}", key))


def identity(component: str, below: str = "") -> dict[str, tuple[str, str]]:
    """The certificate of a component."""
    return {f"{below}{name}": (f"{component}-tls", name) for name in ("ca.crt", "tls.crt", "tls.key")}


def context(folder: Path, certificate: bool = False) -> ssl.SSLContext:
    """What a caller with the release's authority trusts, and shows."""
    made = ssl.create_default_context(cafile=folder / "ca.crt")
    if certificate:
        made.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return made


@contextmanager
def running(command: list[str], folder: Path, url: str, environment: dict[str, str]) -> Iterator[None]:
    """A program until its door answers at `url`, with the release's certificate."""
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(leashed(command), cwd=folder, stdout=out, stderr=out, env=environment) as process,
    ):
        try:
            wait_until(lambda: asked(url, context(folder / "caller")) == 200, 30, lambda: log.read_text()[-3000:])
            yield
        finally:
            process.kill()


def asked(url: str, trusted: ssl.SSLContext, headers: dict[str, str] | None = None) -> int:
    """The status of an answer; 0 for none."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5, context=trusted) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def test_nats_keeps_everything_and_lets_in_who_has_certificate_and_token(tmp_path: Path) -> None:
    rendered = variation(ONE)
    lay_out(rendered, "nats", identity("nats") | {"auth.conf": ("nats-auth", "auth.conf")}, tmp_path)
    lay_out(rendered, "gateway", identity("gateway"), tmp_path / "caller")
    port, monitor = free_port(), free_port()
    text = rendered.file("nearcode-nats", "nats.conf").replace("/etc/nats", str(tmp_path)).replace("/data", str(tmp_path))
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    (tmp_path / "nats.conf").write_text(text)
    program = [str(Path(sys.prefix, "bin", "nats-server")), "--config", str(tmp_path / "nats.conf")]
    environment = {**os.environ, "POD_NAME": "nearcode-nats-0"}
    door = f"https://localhost:{monitor}"
    with running(program, tmp_path, f"{door}/healthz", environment):
        (container,) = rendered.get("StatefulSet", "nearcode-nats")["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert asked(door + container[probe]["httpGet"]["path"], context(tmp_path / "caller")) == 200
        assert look(door, context(tmp_path / "caller")).sync_always
        url, token = f"tls://localhost:{port}", rendered.secret("nearcode-nats-auth", "token").decode()
        connection = await nats.connect(url, tls=context(tmp_path / "caller", True), token=token)
        assert connection.connected_server_version.major >= 2
        await connection.close()
        for certificate, given in ((False, token), (True, "wrong")):
            with pytest.raises((nats.errors.Error, ssl.SSLError, OSError)):
                await nats.connect(
                    url, tls=context(tmp_path / "caller", certificate), token=given, allow_reconnect=False, connect_timeout=5
                )


def test_qdrant_starts_as_a_cluster_of_one_and_asks_for_the_key(tmp_path: Path) -> None:
    rendered = variation(ONE)
    lay_out(rendered, "qdrant", identity("qdrant", "tls/") | {"config/local.yaml": ("qdrant-auth", "local.yaml")}, tmp_path)
    lay_out(rendered, "retrieval", identity("retrieval"), tmp_path / "caller")
    http = free_port()
    text = rendered.file("nearcode-qdrant", "config.yaml").replace("/etc/qdrant", str(tmp_path)).replace("/data", str(tmp_path))
    for port in ("6334", "6335"):
        text = text.replace(port, str(free_port()))
    (tmp_path / "config.yaml").write_text(text.replace("6333", str(http)).replace("0.0.0.0", "127.0.0.1"))
    (container,) = rendered.get("StatefulSet", "nearcode-qdrant")["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--config-path", "config.yaml"]
    program = [str(qdrant_binary()), "--config-path", "config.yaml", "--uri", "https://localhost:6335"]
    door, trusted = f"https://localhost:{http}", context(tmp_path / "caller")
    environment = {**os.environ, "QDRANT_INIT_FILE_PATH": str(tmp_path / "initialized")}
    with running(program, tmp_path, f"{door}/readyz", environment):
        assert asked(f"{door}/livez", trusted) == 200
        assert asked(f"{door}/collections", trusted) == 401
        key = rendered.secret("nearcode-qdrant-auth", "api-key").decode()
        assert asked(f"{door}/collections", trusted, {"api-key": key}) == 200


def test_each_component_has_a_certificate_for_the_names_that_it_is_called_by() -> None:
    rendered = variation("production")
    authority = x509.load_pem_x509_certificate(rendered.secret("nearcode-ca", "tls.crt"))
    for one in rendered.kind("Service"):
        name = one["metadata"]["name"]
        certificate = x509.load_pem_x509_certificate(rendered.secret(f"{name}-tls", "tls.crt"))
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
        assert {"localhost", name, f"{name}.code.svc", f"{name}.code.svc.cluster.local"} <= set(names)
        if one["spec"].get("clusterIP") == "None":
            assert {f"{name}-{number}.{name}" for number in range(3)} <= set(names)


async def connect(home: Path, url: str) -> None:
    """As the operator does for a resource."""
    async with client(settings.load(overrides={"home": home})) as found:
        connected = await found.repositories.connect(found.user, url, "main")
        await found.repositories.sync(found.user, connected.id)


def test_what_helm_test_asks_is_answered(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    script = [sys.executable, str(CHART / "files" / "tests" / "answers.py")]
    with (
        git_server(tmp_path / "git", authority) as git,
        one_process(tmp_path / "home", NEARCODE_INGESTION__GIT_CA_FILE=str(authority.ca)) as engine,
    ):
        git.sample("shop")
        early = subprocess.run(
            [*script, git.url("shop"), "--seconds", "0"], env=engine.environment, capture_output=True, text=True
        )
        assert early.returncode == 1 and "not connected yet" in early.stderr
        asyncio.run(connect(engine.home, git.url("shop")))
        done = subprocess.run(
            [*script, git.url("shop"), "--seconds", "60"], env=engine.environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("indexed: revision ", "search:  shop/orders.py:", "complete: ", "ask: ", "\nok\n"):
        assert said in done.stdout
