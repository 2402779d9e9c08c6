"""Bad input: a clear error or a named reason on that file, the right status code, and everything else goes on."""

import os
import subprocess
from pathlib import Path

import grpc
import pytest
from nearcode.api.assistant.v1 import assistant_pb2
from nearcode.api.errors.v1 import errors_pb2
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.runtime.channel import Client, connect

from tests.e2e.shop import write_shop
from tests.engines import NEARCODE, Engine, environment, one_process
from tests.servers import free_port

METHOD = "/nearcode.api.assistant.v1.AssistantService/Search"


def channel_of(engine: Engine) -> tuple[str, str | None]:
    """The gateway's address and the token that it wants."""
    address = engine.addresses.get("gateway") or engine.addresses["grpc"]
    token = None if address.startswith("unix:") else (engine.home / "token").read_text().strip()
    return address, token


async def raw(engine: Engine, body: bytes) -> grpc.aio.AioRpcError:
    """The error that a request of these bytes gets."""
    address, token = channel_of(engine)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(METHOD)(body, metadata=metadata, timeout=20)
    return caught.value


async def test_a_malformed_request_and_one_of_ten_megabytes_are_the_callers_fault(engine: Engine) -> None:
    assert (await raw(engine, b"\xff\xff\xff\xff")).code() == grpc.StatusCode.INVALID_ARGUMENT
    large = assistant_pb2.SearchRequest(query="x" * 10_000_000).SerializeToString()
    assert (await raw(engine, large)).code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT)


async def test_an_endless_question_is_refused_with_its_reason(engine: Engine) -> None:
    address, token = channel_of(engine)
    channel = connect(address, token)
    client = Client(channel, assistant_pb2.DESCRIPTOR.services_by_name["AssistantService"])
    with pytest.raises(InvalidRequest) as caught:
        await client.unary("Search", assistant_pb2.SearchRequest(query="x" * 30_000), seconds=10)
    assert caught.value.reason == Reason.TOO_LARGE
    await channel.close()


async def test_over_tcp_nobody_gets_in_without_the_token(engine: Engine) -> None:
    address, token = channel_of(engine)
    if token is None:
        assert oct(os.stat(address.removeprefix("unix:")).st_mode & 0o777) == "0o600"
        return
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(METHOD)(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_hostile_files_are_named_and_the_honest_ones_are_found(engine: Engine, tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "code")
    (folder / "deep.py").write_text("x = " + "(" * 20_000 + ")" * 20_000)
    (folder / "deep.js").write_text("\n".join(["let x = " + "(" * 200] * 100 + [")" * 200] * 100))
    (folder / "huge.py").write_bytes(b"#" * 50_000_000)
    (folder / "latin.py").write_bytes("größe = 1\n".encode("latin-1"))
    (folder / "binary.py").write_bytes(b"a\0b")
    (folder / "empty.py").write_bytes(b"")
    (folder / "outside.py").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.py")
    (result,) = engine.json("index", str(folder), "--json")
    assert result["files"] >= 4
    said = {file["path"]: file for file in engine.json("files", str(folder), "--json")}
    reasons = {path: file["reason"] for path, file in said.items()}
    assert "larger than 1,000,000 bytes" in reasons["huge.py"]
    assert "UTF-8" in reasons["latin.py"]
    assert reasons["binary.py"] == "binary"
    assert reasons["outside.py"] == "symbolic link"
    assert reasons["pipe.py"] == "not a regular file"
    assert reasons["deep.py"]
    (answer,) = engine.json("search", "value added tax", "--repo", str(folder), "--json")
    assert answer["results"][0]["path"] == "shop/prices.py"


def test_an_empty_folder_is_an_empty_index(engine: Engine, tmp_path: Path) -> None:
    (result,) = engine.json("index", str(tmp_path), "--json")
    assert (result["files"], result["chunks"]) == (0, 0)
    (answer,) = engine.json("search", "anything", "--repo", str(tmp_path), "--json")
    assert answer["results"] == []


def test_a_folder_that_is_not_there_is_not_found(engine: Engine, tmp_path: Path) -> None:
    result = engine.command("index", str(tmp_path / "gone"), check=False)
    assert result.returncode in (2, 3)
    assert "Traceback" not in result.stderr


def run(home: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    command = [*NEARCODE, *arguments]
    return subprocess.run(command, env=environment(home, **settings), capture_output=True, text=True, timeout=90, check=False)


def test_a_second_engine_on_the_same_home_is_told_who_has_it(tmp_path: Path) -> None:
    with one_process(tmp_path) as engine:
        result = run(tmp_path, "run")
        assert result.returncode == 4
        assert f"process {engine.processes[0].pid} already works in {tmp_path}" in result.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run(tmp_path, "run", NEARCODE_GATEWAY__LISTEN=address)
        ops = run(tmp_path, "run", NEARCODE_OPS__LISTEN=address)
    assert result.returncode == ops.returncode == 4
    assert address in result.stderr
    assert address in ops.stderr


def test_dead_servers_are_named(tmp_path: Path) -> None:
    port = free_port()
    nats = run(tmp_path, "status", NEARCODE_EVENTS__URL=f"nats://127.0.0.1:{port}")
    qdrant = run(tmp_path, "status", NEARCODE_INDEX__URL=f"http://127.0.0.1:{port}", NEARCODE_INDEX__GRPC_PORT=str(port))
    assert nats.returncode == qdrant.returncode == 4
    assert f"no event broker answers at 127.0.0.1:{port}" in nats.stderr
    assert str(port) in qdrant.stderr


def test_an_unknown_setting_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    result = run(tmp_path, "status", NEARCODE_RETRIEVAL__CANDIDATE="3")
    assert result.returncode == 2
    assert "unknown setting retrieval.candidate" in result.stderr
    assert "retrieval.candidates" in result.stderr
    file = tmp_path / "bad.toml"
    file.write_text("[chunking]\nworkers = 'many'\n")
    checked = run(tmp_path, "config", "check", str(file))
    assert checked.returncode == 2
    assert "chunking.workers" in checked.stderr


def test_a_missing_model_file_costs_the_text_and_not_the_sources(tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "code")
    settings = {"NEARCODE_GENERATION__MODEL_PATH": str(tmp_path / "missing.gguf")}
    assert run(tmp_path / "home", "index", str(folder), **settings).returncode == 0
    result = run(tmp_path / "home", "complete", f"{folder}/shop/cart.py:21:16", "--json", **settings)
    assert result.returncode == 0, result.stderr
    assert '"plan": "context-only"' in result.stdout
    doctor = run(tmp_path / "home", "doctor", **settings)
    assert "missing.gguf" in doctor.stdout


def test_a_full_disk_is_named_and_nothing_is_broken_by_it(tmp_path: Path) -> None:
    """A home on a file system of 40 MB, which the broker's store and the index outgrow."""
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(home)], capture_output=True, check=False)
    assert mounted.returncode == 0, f"this test mounts a small file system and needs the right to: {mounted.stderr.decode()}"
    try:
        result = run(home, "index", str(write_shop(tmp_path / "code")))
        assert result.returncode in (1, 4)
        assert "disk" in result.stderr or "space" in result.stderr
        assert "Traceback" not in result.stderr
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_every_reason_is_in_the_contract() -> None:
    assert {f"REASON_{reason}" for reason in Reason} | {"REASON_UNSPECIFIED"} == set(errors_pb2.Reason.keys())
