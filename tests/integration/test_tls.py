"""TLS between processes, with good certificates, bad ones, and ones that are replaced."""

import asyncio
import datetime
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import pytest
from cryptography import x509
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.runtime.certificates import names_of
from nearcode.runtime.channel import Client, connect
from nearcode.runtime.encryption import TlsSettings
from nearcode.runtime.health import Health
from nearcode.runtime.ops import OpsServer
from nearcode.runtime.own_certificates import ensure_own
from nearcode.runtime.server import RpcServer
from nearcode.runtime.tls import Tls, client_context
from nearcode.runtime.tls_failures import Expectation, why
from prometheus_client import CollectorRegistry

from tests.certificates import Authority, Pair
from tests.integration.rpc_world import RETRIEVAL, Ada, World, failure, world
from tests.servers import eventually


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def tls_of(authority: Authority, pair: Pair | None = None, **settings: object) -> Tls:
    """The settings of a process that has a certificate of this authority."""
    files = {"cert_file": pair.cert, "key_file": pair.key} if pair else {"loopback": True}
    return Tls(TlsSettings.model_validate({"ca_file": authority.ca, **files, **settings}), authority.ca.parent / "none")


def shown(pair: Pair) -> grpc.ServerCredentials:
    """A server that shows a certificate whatever is wrong with it."""
    return grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.cert.read_bytes())])


@asynccontextmanager
async def mutual(authority: Authority, caller: Tls) -> AsyncIterator[World]:
    """A server that asks for certificates, and a caller."""
    credentials = tls_of(authority, authority.issue()).server_credentials(ask_clients=True)
    async with world(credentials=credentials, tls=caller) as here:
        yield here


async def told(asking: object) -> str:
    """What a caller learns when it is TLS that fails: not to try again soon, and why."""
    error = await failure(asking)
    assert isinstance(error, Unavailable) and error.reason is Reason.CERTIFICATE, error
    assert error.retry_after >= 10
    return error.message


async def test_calls_travel_encrypted_when_certificates_are_given(authority: Authority) -> None:
    tls = tls_of(authority, authority.issue())
    async with world(credentials=tls.server_credentials(False), tls=tls) as here:
        await here.ask()
        here.channel.address = here.server.address.replace("127.0.0.1", "localhost")
        await here.ask()


async def test_an_unencrypted_call_to_an_encrypted_service_is_told_so(authority: Authority) -> None:
    async with world(credentials=shown(authority.issue())) as here:
        assert "speaks TLS and is called without" in await told(here.ask())


async def test_an_encrypted_call_to_an_unencrypted_service_is_told_so(authority: Authority) -> None:
    async with world(tls=tls_of(authority)) as here:
        assert "does not speak TLS: give the process there its [tls] settings" in await told(here.ask())


async def test_a_service_that_is_away_is_not_mistaken_for_a_bad_certificate(authority: Authority) -> None:
    async with world(tls=tls_of(authority), credentials=shown(authority.issue())) as here:
        await here.server.stop(0)
        error = await failure(here.ask())
        assert isinstance(error, Unavailable) and error.reason is Reason.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ca, other: ca.issue(days=-0.5), "expired on 20"),
        (lambda ca, other: ca.issue(age_days=-1), "is valid only from 20"),
        (lambda ca, other: ca.issue("elsewhere.example"), "is for elsewhere.example, not for 127.0.0.1"),
        (lambda ca, other: other.issue(), "was signed by CN=another authority"),
    ],
    ids=["expired", "not yet valid", "another host", "unknown authority"],
)
async def test_a_bad_certificate_is_refused_with_what_is_wrong_with_it(
    authority: Authority, tmp_path: Path, make: Callable[[Authority, Authority], Pair], words: str
) -> None:
    pair = make(authority, Authority(tmp_path / "other", "another authority"))
    async with world(credentials=shown(pair), tls=tls_of(authority)) as here:
        message = await told(here.ask())
        assert words in message and here.server.address in message
        assert message == await told(here.ask())


async def test_a_name_with_several_addresses_is_looked_at_even_if_the_last_one_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    pair = Authority(tmp_path / "other", "another authority").issue()
    async with world(credentials=shown(pair), tls=tls_of(authority)) as here:
        place = here.server.address.replace("127.0.0.1", "localhost")
        refused = f"failed to connect to all addresses; last error: UNKNOWN: ipv6:[::1]:{place[10:]}: Connection refused"
        found = await why(Expectation(place, tls_of(authority).material().files), refused)
        assert found and "was signed by CN=another authority" in found.message
    assert await why(Expectation(place, tls_of(authority).material().files), refused) is None


async def test_a_name_can_stand_for_an_address_that_the_certificate_does_not_hold(authority: Authority) -> None:
    tls = tls_of(authority, server_name="gateway.example")
    async with world(credentials=shown(authority.issue("gateway.example")), tls=tls) as here:
        await here.ask()


async def test_a_service_that_asks_for_certificates_takes_those_of_its_authority(authority: Authority) -> None:
    async with mutual(authority, tls_of(authority, authority.issue(stem="caller"))) as here:
        await here.ask()


async def test_a_caller_without_a_certificate_is_told_to_show_one(authority: Authority) -> None:
    async with mutual(authority, tls_of(authority)) as here:
        assert "asks its callers for a certificate, and this process shows none" in await told(here.ask())


async def test_a_caller_with_a_certificate_of_another_authority_is_told_so(authority: Authority, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "other").issue(stem="caller")
    async with mutual(authority, tls_of(authority, pair)) as here:
        message = await told(here.ask())
        assert str(pair.cert) in message and "of an authority in tls.ca_file there" in message


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ca, pair: ca.issue(days=-1), "expired on 20"),
        (lambda ca, pair: ca.issue(age_days=-1), "clock"),
        (lambda ca, pair: pair.key.unlink(), "server.key cannot be read: No such file"),
        (lambda ca, pair: pair.cert.write_text("nonsense"), "holds no certificate in PEM"),
        (lambda ca, pair: pair.key.write_text("nonsense"), "holds no private key in PEM"),
        (lambda ca, pair: ca.issue(stem="second").key.replace(pair.key), "is not that of the certificate"),
        (lambda ca, pair: ca.issue(server_only=True), "is for servers only"),
        (lambda ca, pair: ca.ca.write_text(""), "ca_file"),
    ],
)
def test_a_process_does_not_start_with_a_certificate_that_nobody_would_take(
    authority: Authority, spoil: Callable[[Authority, Pair], object], words: str
) -> None:
    pair = authority.issue()
    spoil(authority, pair)
    with pytest.raises(InvalidRequest, match=words) as caught:
        tls_of(authority, pair).server_credentials(True)
    assert caught.value.reason is Reason.CERTIFICATE


def test_what_is_not_yet_wrong_is_warned_about(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue(days=12.5)
    pair.key.chmod(0o644)
    other = Authority(tmp_path / "other")
    warnings = tls_of(other, pair).prepare().warnings
    assert [words for words in ("expires in 12 days", "can read the key", "no authority in") if words in "".join(warnings)] == [
        "expires in 12 days",
        "can read the key",
        "no authority in",
    ]


@pytest.mark.parametrize("place", ["0.0.0.0:0", "[::]:0"])
async def test_no_door_beyond_this_machine_opens_without_tls(place: str) -> None:
    for door in (
        RpcServer(place, [], authenticator=Ada(), health=Health()),
        OpsServer(place, CollectorRegistry(), Health(), str),
    ):
        error = await failure(door.start())
        assert isinstance(error, InvalidRequest) and "tls.cert_file" in error.message


async def test_a_replaced_certificate_is_shown_to_the_next_connection_and_old_ones_go_on(authority: Authority) -> None:
    pair = authority.issue("before.example", "127.0.0.1")
    server = tls_of(authority, pair)
    async with world(credentials=server.server_credentials(False), tls=tls_of(authority)) as here:
        texts = here.write(seconds=30)
        await anext(texts)
        authority.issue("after.example", "127.0.0.1")
        await until(lambda: "after.example" in peer_names(here.server.address, authority.ca))
        for _ in range(100):
            await anext(texts)
        await here.ask()
        await texts.aclose()


async def test_a_replaced_authority_is_trusted_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    """Both sides move to another authority, as a customer does who replaces all files at once."""
    pair = authority.issue()
    server, caller = tls_of(authority, pair), tls_of(authority, pair)
    async with world(credentials=server.server_credentials(True), tls=caller) as here:
        await here.ask()
        other = Authority(tmp_path / "other")
        new = other.issue()
        for fresh, old in ((new.key, pair.key), (new.cert, pair.cert), (other.ca, authority.ca)):
            fresh.replace(old)

        await until(lambda: trusted(here.server.address, authority.ca))
        channel = connect(here.server.address, "ada", tls_of(authority, pair))
        await Client(channel, RETRIEVAL).unary("Retrieve", retrieval_pb2.RetrieveRequest(), 5)
        await channel.close()
        await here.ask()  # over a connection that was made anew


async def test_a_broken_replacement_leaves_the_old_certificate_in_force(authority: Authority) -> None:
    pair = authority.issue()
    tls = tls_of(authority, pair)
    async with world(credentials=tls.server_credentials(False), tls=tls_of(authority)) as here:
        pair.cert.write_text("half a certif")
        assert tls.material(0.0).cert != b""
        assert "127.0.0.1" in await asyncio.to_thread(peer_names, here.server.address, authority.ca)
        await here.ask()


async def test_operators_are_answered_over_https_also_after_the_certificate_was_replaced(authority: Authority) -> None:
    authority.issue("before.example", "127.0.0.1")
    tls = tls_of(authority, authority.issue("before.example", "127.0.0.1"))
    async with OpsServer("0.0.0.0:0", CollectorRegistry(), Health(), str, context=tls.server_context()) as door:
        place = door.address.replace("0.0.0.0", "127.0.0.1")
        context = ssl.create_default_context(cafile=authority.ca)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, ssl=context)) as session:
            async with session.get(f"https://{place}/livez") as answer:
                assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{place}/livez")
            authority.issue("after.example", "127.0.0.1")
            await until(lambda: "after.example" in peer_names(place, authority.ca))


MAKER = """
import sys
from pathlib import Path
from nearcode.runtime.own_certificates import ensure_own
ensure_own(Path(sys.argv[1]), sys.argv[2:])
print((Path(sys.argv[1]) / "own.pem").read_text(), (Path(sys.argv[1]) / "ca.pem").read_text())
"""


def test_processes_that_make_their_certificates_at_once_agree_on_one(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    makers = [subprocess.Popen([sys.executable, "-c", MAKER, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    made = {maker.communicate(timeout=60)[0] for maker in makers}
    assert len(made) == 1 and "BEGIN CERTIFICATE" in made.pop()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE((folder / name).stat().st_mode) == 0o600 for name in ("ca.pem", "ca.key", "own.pem"))


async def test_an_installation_without_certificates_makes_its_own_and_renews_them(tmp_path: Path) -> None:
    tls = Tls(TlsSettings(), tmp_path / "tls", ["worker.example"])
    async with world("0.0.0.0:0", credentials=tls.server_credentials(True), tls=tls) as here:
        await here.ask()
        place = "127.0.0.1:" + here.server.address.rpartition(":")[2]
        names = await asyncio.to_thread(peer_names, place, tmp_path / "tls" / "ca.pem", tls)
        assert {"localhost", "worker.example", "127.0.0.1"} <= set(names)
        now = datetime.datetime.now(datetime.UTC)
        (tmp_path / "tls" / "own.pem").unlink()
        ensure_own(tmp_path / "tls", ["worker.example"], now - datetime.timedelta(days=65))  # as if it had run so long
        assert days_left(tls, now) == 25
        assert days_left(tls, now) == 90
        await here.ask()


def days_left(tls: Tls, now: datetime.datetime) -> int:
    return round((tls.material(0.0).expires - now.timestamp()) / 86400)


def test_another_process_of_the_home_adds_its_names_and_takes_none_away(tmp_path: Path) -> None:
    ensure_own(tmp_path, ["a.example"])
    files = ensure_own(tmp_path, ["b.example"])
    first = files.cert and files.cert.read_bytes()
    assert ensure_own(tmp_path, ["a.example"]).stamp() == files.stamp()
    assert files.cert and files.cert.read_bytes() == first


async def until(true: Callable[[], bool]) -> None:
    """Waits until something holds that takes a connection to find out."""

    async def holds() -> bool:
        return await asyncio.to_thread(true)

    await eventually(holds, 10, "the replaced certificate is not in use")


def trusted(place: str, ca: Path) -> bool:
    """Whether the server at a place shows a certificate of this authority now."""
    try:
        return bool(peer_names(place, ca))
    except ssl.SSLError:
        return False


def peer_names(place: str, ca: Path, caller: Tls | None = None) -> list[str]:
    """The names in the certificate that a server shows now, without a name asked for, as a probe does."""
    context = client_context(caller.material().files) if caller else ssl.create_default_context(cafile=ca)
    host, _, port = place.rpartition(":")
    context.check_hostname = False
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as connection:
        shown = x509.load_der_x509_certificate(connection.getpeercert(True) or b"")
    return names_of(shown)
