"""The main job with one process per service, every connection encrypted, and each service asking its callers who they are."""

import json
import re
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.errors import Reason
from nearcode.runtime.channel import Client, connect
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.tls import Tls

from tests.certificates import Authority
from tests.e2e.shop import write_shop
from tests.engines import Engine, process_per_service
from tests.integration.rpc_world import failure

SERVICES = ("ingestion", "chunking", "embedding", "retrieval", "generation")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine of its own, because its settings are."""
    with process_per_service(tmp_path_factory.mktemp("home"), authority) as engine:
        yield engine


@pytest.fixture(scope="module")
def code(encrypted: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, indexed over encrypted connections."""
    folder = write_shop(tmp_path_factory.mktemp("code"))
    *_, indexed = encrypted.json("index", str(folder), "--json")
    assert indexed["files"] == 4
    return folder


def test_the_main_job_works_when_everything_is_encrypted(encrypted: Engine, code: Path) -> None:
    (found,) = encrypted.json("search", "how is value added tax computed", "--repo", str(code), "--json")
    assert found["results"][0]["path"] == "shop/prices.py"
    (answer,) = encrypted.json("complete", f"{code}/shop/cart.py:21:16", "--json", "--deadline", "8000")
    assert {source["path"] for source in answer["sources"]} & {"shop/prices.py", "shop/cart.py"}


async def test_no_service_answers_who_does_not_encrypt_or_is_nobody(encrypted: Engine, authority: Authority) -> None:
    retrieval = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"]
    nobody = Tls(TlsSettings(ca_file=authority.ca, loopback=True), encrypted.home / "none")
    for service in SERVICES:
        for tls in (None, nobody):
            channel = connect(encrypted.addresses[service], (encrypted.home / "token").read_text().strip(), tls)
            asking = Client(channel, retrieval).unary("Retrieve", retrieval_pb2.RetrieveRequest(), 10)
            assert (await failure(asking)).reason is Reason.CERTIFICATE
            await channel.close()


def test_another_machine_uses_the_gateway_with_its_authority_and_token_alone(
    encrypted: Engine, authority: Authority, code: Path, tmp_path: Path
) -> None:
    config = remote(encrypted, authority, tmp_path)
    elsewhere = Engine(tmp_path / "home", {**encrypted.environment, "NEARCODE_HOME": str(tmp_path / "home")})
    clean(elsewhere)
    (found,) = elsewhere.json("--config", str(config), "search", "value added tax", "--repo", str(code), "--json")
    assert found["results"][0]["path"] == "shop/prices.py"


def test_another_machine_is_told_when_it_does_not_know_the_authority(encrypted: Engine, code: Path, tmp_path: Path) -> None:
    config = remote(encrypted, Authority(tmp_path / "other", "somebody"), tmp_path)
    elsewhere = Engine(tmp_path / "home", {**encrypted.environment, "NEARCODE_HOME": str(tmp_path / "home")})
    clean(elsewhere)
    result = elsewhere.command("--config", str(config), "search", "tax", "--repo", str(code), check=False)
    assert result.returncode == 4, result.stderr
    assert "was signed by CN=test authority" in result.stderr and "tls.ca_file" in result.stderr


def test_operators_read_over_https_when_certificates_end(encrypted: Engine, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.ca)
    for name, address in encrypted.addresses.items():
        if name.endswith(" ops"):
            with urllib.request.urlopen(f"https://{address}/metrics", timeout=10, context=context) as answer:
                metrics = answer.read().decode()
            assert re.search(r'nearcode_certificate_expiry_timestamp_seconds\{certificate="own"\} 1\.\d+e\+09', metrics), name


def remote(engine: Engine, authority: Authority, folder: Path) -> Path:
    """The settings file of a machine that knows the gateway, its authority and the token."""
    config = folder / "remote.toml"
    gateway = {"address": engine.addresses["gateway"].replace("127.0.0.1", "localhost")}
    gateway["token_file"] = str(engine.home / "token")
    lines = [f"{key} = {json.dumps(value)}" for key, value in gateway.items()]
    config.write_text(
        "\n".join(["[gateway]", *lines, "[tls]", f"ca_file = {json.dumps(str(authority.ca))}", "loopback = true\n"])
    )
    return config


def clean(engine: Engine) -> None:
    """Takes away what the services' own environment says."""
    for name in [name for name in engine.environment if name.startswith("NEARCODE_") and name != "NEARCODE_HOME"]:
        del engine.environment[name]
