"""TLS to the servers of others: NATS, Qdrant and a model server."""

import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from nats.errors import Error
from nearcode.adapters.jetstream import connect
from nearcode.adapters.openai_http import OpenAIModel
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.domain.errors import NearcodeError, Reason, Unavailable
from nearcode.domain.index import IndexSpace
from nearcode.embedding.profiles import profile
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.tls import Tls

from tests.certificates import Authority, Pair
from tests.servers import Server, eventually, nats_server, qdrant_server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def caller(authority: Authority, pair: Pair | None = None) -> Tls:
    own = TlsSettings(ca_file=authority.ca, cert_file=pair.cert if pair else None, key_file=pair.key if pair else None)
    return Tls(own, authority.ca.parent / "none")


async def fault(asking: Awaitable[object]) -> str:
    with pytest.raises(Unavailable) as caught:
        await asking
    assert caught.value.reason is Reason.CERTIFICATE, caught.value
    return caught.value.message


async def test_a_broker_is_reached_over_tls_and_again_after_it_and_then_we_moved_to_another_authority(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = authority.issue()
    with nats_server(tmp_path / "nats", pair=pair, clients=authority.ca) as server:
        client = await connect(server.url, "test", caller(authority, pair).client_context())
        try:
            assert client.is_connected
            other = Authority(tmp_path / "other")
            new = other.issue()
            server.stop()
            new.key.replace(pair.key)
            new.cert.replace(pair.cert)
            server.start()

            async def refused() -> bool:
                return "certificate is refused" in caplog.text

            await eventually(refused, 15, "the new authority was trusted before it was known")
            server.stop()
            other.ca.replace(authority.ca)
            server.start()

            async def answers() -> bool:
                try:
                    return bool(await client.jetstream(timeout=1).account_info())
                except Error:  # asked over the connection that ended
                    return False

            await eventually(answers, 15, "the client did not come back")
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ca, other: ca.issue(days=-0.5), "certificate has expired"),
        (lambda ca, other: ca.issue("elsewhere.example"), "not valid for '127.0.0.1'"),
        (lambda ca, other: other.issue(), "unable to get local issuer certificate"),
        (lambda ca, other: None, "it does not speak TLS"),
    ],
    ids=["expired", "another host", "unknown authority", "no TLS"],
)
async def test_a_broker_that_cannot_prove_itself_gets_no_word_from_us(
    authority: Authority, tmp_path: Path, make: Callable[[Authority, Authority], Pair | None], words: str
) -> None:
    with nats_server(tmp_path / "nats", pair=make(authority, Authority(tmp_path / "other"))) as server:
        address = server.url.replace("nats://", "tls://")
        assert words in await fault(connect(address, "test", caller(authority).client_context(), token="secret"))


async def test_a_broker_that_asks_for_a_certificate_says_so_to_who_has_none(authority: Authority, tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats", pair=authority.issue(), clients=authority.ca) as server:
        assert "events.cert_file" in await fault(connect(server.url, "test", caller(authority).client_context()))


def index(server: Server, ca_file: Path | None) -> QdrantChunkIndex:
    space = IndexSpace("tls", profile("nearcode-static-1"))
    return QdrantChunkIndex(space, server.url, grpc_port=server.ports["grpc"], ca_file=str(ca_file or ""), seconds=5)


async def test_an_index_is_reached_over_tls(authority: Authority, tmp_path: Path) -> None:
    with qdrant_server(tmp_path / "qdrant", pair=authority.issue()) as server:
        good = index(server, authority.ca)
        await good.open()
        assert await good.healthy()
        await good.close()
        stranger = index(server, Authority(tmp_path / "other").ca)
        assert "unknown authority" in await fault(stranger.open())
        await stranger.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ca: ca.issue(days=-0.5), "expired"),
        (lambda ca: ca.issue("elsewhere.example"), "for another host"),
        (lambda ca: None, "does not speak TLS"),
    ],
    ids=["expired", "another host", "no TLS"],
)
async def test_an_index_with_a_bad_certificate_is_refused(
    authority: Authority, tmp_path: Path, make: Callable[[Authority], Pair | None], words: str
) -> None:
    with qdrant_server(tmp_path / "qdrant", pair=make(authority)) as server:
        bad = QdrantChunkIndex(
            IndexSpace("tls", profile("nearcode-static-1")), server.url.replace("http:", "https:"),
            grpc_port=server.ports["grpc"], ca_file=str(authority.ca), seconds=5,
        )  # fmt: skip
        assert words in await fault(bad.open())
        await bad.close()


async def test_a_model_server_is_reached_over_https_and_refused_when_unknown(authority: Authority, tmp_path: Path) -> None:
    async def models(_request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m", "owned_by": "vllm"}]})

    pair = authority.issue()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    known = OpenAIModel(url, context=caller(authority).client_context())
    unknown = OpenAIModel(url, context=caller(Authority(tmp_path / "other")).client_context())
    try:
        assert (await known.served()).name == "m"
        assert "generation.ca_file" in await fault(unknown.served())
    finally:
        await known.close()
        await unknown.close()
        await runner.cleanup()


def test_traces_reach_a_collector_over_tls(authority: Authority, tmp_path: Path) -> None:
    got: list[bytes] = []

    def export(body: bytes, _context: grpc.ServicerContext) -> bytes:
        got.append(body)
        return b""

    pair = authority.issue()
    server = grpc.server(ThreadPoolExecutor(1))
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.cert.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    script = tmp_path / "traced.py"
    script.write_text(TRACED)
    arguments = [sys.executable, str(script), f"https://127.0.0.1:{port}", str(authority.ca), str(tmp_path)]
    subprocess.run(arguments, check=True, timeout=60)
    server.stop(0).wait()
    assert b"encrypted work" in b"".join(got)


TRACED = """
import sys
from pathlib import Path
from opentelemetry import trace
from nearcode.telemetry.settings import TelemetrySettings
from nearcode.telemetry.setup import setup
settings = TelemetrySettings(spans="otlp", otlp_endpoint=sys.argv[1], otlp_ca_file=Path(sys.argv[2]))
telemetry = setup(settings, "test", Path(sys.argv[3]))
with trace.get_tracer("test").start_as_current_span("encrypted work"):
    pass
telemetry.shutdown()
"""


def test_an_authority_that_cannot_be_read_is_told_before_anything_connects(tmp_path: Path) -> None:
    with pytest.raises(NearcodeError, match="cannot be read"):
        Tls(TlsSettings(), tmp_path).authorities(str(tmp_path / "missing.pem"))
