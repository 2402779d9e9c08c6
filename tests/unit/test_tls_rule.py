"""Which connections are encrypted."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.errors import InvalidRequest
from nearcode.plaintext import exposed, refuse_plaintext
from nearcode.runtime.encryption import encrypted, host_of
from nearcode.settings import EventsSettings, IndexSettings, Settings

ports = st.integers(0, 65535)
addresses = st.ip_addresses().map(lambda ip: f"[{ip}]" if ip.version == 6 else str(ip))
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True)
hosts = st.one_of(addresses, names, st.sampled_from(["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"]))
places = st.builds("{}:{}".format, hosts, ports)


@given(places)
def test_only_loopback_may_be_plaintext(place: str) -> None:
    host = host_of(place)
    if not encrypted(place, everywhere=False):
        assert host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback


@given(places)
def test_whoever_gave_certificates_is_encrypted_everywhere(place: str) -> None:
    assert encrypted(place, everywhere=True)


@given(st.text(), st.booleans())
def test_a_unix_socket_is_the_kernels(path: str, everywhere: bool) -> None:
    assert not encrypted(f"unix:{path}", everywhere)


@given(places, st.booleans())
def test_giving_certificates_never_takes_encryption_away(place: str, everywhere: bool) -> None:
    assert encrypted(place, True) >= encrypted(place, everywhere) >= encrypted(place, False)


@given(st.lists(places, min_size=1, max_size=4), st.sampled_from(["tls", "https"]))
def test_encrypted_urls_are_never_exposed_and_plain_ones_are_beyond_loopback(hosts: list[str], scheme: str) -> None:
    assert exposed(",".join(f"{scheme}://{host}" for host in hosts)) == []
    plain = [f"nats://token@{host}" for host in hosts]
    assert exposed(",".join(plain)) == [
        url for url, host in zip(plain, hosts, strict=True) if encrypted(host, everywhere=False)
    ]


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        (Settings(events=EventsSettings(url="nats://a.example:4222,tls://b.example:4222")), "events"),
        (Settings(index=IndexSettings(url="http://10.0.0.7:6333")), "index"),
    ],
)
def test_a_plaintext_server_beyond_this_machine_is_refused_unless_allowed_by_name(settings: Settings, setting: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{setting}.allow_plaintext"):
        refuse_plaintext(settings)
    branch = getattr(settings, setting).model_copy(update={"allow_plaintext": True})
    refuse_plaintext(settings.model_copy(update={setting: branch}))


def test_the_default_settings_leave_nothing_in_the_open() -> None:
    refuse_plaintext(Settings())
