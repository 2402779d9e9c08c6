"""What is read on the way if it is not encrypted: connections that leave this machine with code or secrets."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.runtime.encryption import is_loopback
from nearcode.settings import Settings
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

_ENCRYPTED = frozenset({"https", "tls", "grpcs"})


@dataclass(frozen=True, slots=True)
class Connection:
    """A server that the settings name. `urls`: separated by commas. `encrypted`: the scheme to use instead."""

    branch: str
    urls: str
    allowed: bool
    encrypted: str


def refuse_plaintext(settings: Settings) -> None:
    """Logs each connection that leaves this machine unencrypted and is allowed to. Raises InvalidRequest for the others."""
    for connection in _connections(settings):
        for url in exposed(connection.urls):
            place = url.rpartition("@")[2].rpartition("//")[2]
            setting = f"{connection.branch}.url"
            if not connection.allowed:
                message = (
                    f"{setting} leads to {place} without encryption: use {connection.encrypted}:// there, or accept that it is "
                    f"read on the way: {connection.branch}.allow_plaintext = true"
                )
                raise InvalidRequest(message, Reason.INVALID_SETTING, setting)
            log.warning("a connection is not encrypted", setting=setting, server=place)


def exposed(urls: str) -> list[str]:
    """Those of several URLs, separated by commas, that lead beyond this machine in plaintext."""
    each = [url.strip() for url in urls.split(",") if url.strip()]
    return [url for url in each if urlsplit(url).scheme not in _ENCRYPTED and not is_loopback(_host(url))]


def _host(url: str) -> str:
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _connections(settings: Settings) -> list[Connection]:
    events, index, chat, generation = settings.events, settings.index, settings.embedding.chat, settings.generation
    return [
        Connection("events", events.url, events.allow_plaintext, "tls"),
        Connection("index", index.url, index.allow_plaintext, "https"),
        Connection("embedding.chat", chat.url, chat.allow_plaintext, "grpcs"),
        Connection("generation", generation.url, generation.allow_plaintext, "grpcs" if "grpc:" in generation.url else "https"),
    ]
