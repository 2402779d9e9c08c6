"""When a connection between processes is encrypted: the settings and the rule. docs/decisions/tls.md says why."""

import ipaddress
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import field_validator, model_validator

from nearcode.runtime.settings import Branch

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
WILDCARDS = frozenset({"0.0.0.0", "::", "*"})
"""Every address of this machine: places to listen on, no places to go to."""


class TlsSettings(Branch):
    """Encryption between processes."""

    ca_file: Path | None = None
    """Certificates (PEM) of the authorities that are trusted, on both sides. Empty: the home's own, else the system's."""
    cert_file: Path | None = None
    """Certificate (PEM) that this process shows to callers and, where a server asks, to servers, followed by what leads to its
    authority: cert-manager's `tls.crt`. Read again when it is replaced. Empty: one made in the home folder."""
    key_file: Path | None = None
    """Private key (PEM, not encrypted) of `cert_file`: cert-manager's `tls.key`."""
    client_auth: Literal["services", "all", "off"] = "services"
    """Which TLS doors also ask their callers for a certificate of `ca_file`, beside the token. `services`: all but the
    gateway's, which developers' machines call. The operators' door never asks: probes have none."""
    loopback: bool = False
    """Encrypt loopback addresses, too, though no `cert_file` is given: for a port that is forwarded to another machine."""
    server_name: str = ""
    """Name that servers' certificates must hold instead of the host in their address. Empty: the host. For calls through a
    forwarded port or an address that the certificate does not name."""
    names: tuple[str, ...] = ()
    """Further host names and IP addresses that the home's own certificate is for and the operators' door answers to. This
    machine's name, localhost and every host in `listen` and `address` are always among them."""

    @field_validator("names", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        """The environment holds them separated by commas."""
        return tuple(filter(None, names.split(","))) if isinstance(names, str) else names

    @field_validator("names")
    @classmethod
    def _host_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not (_NAME.fullmatch(name) or _address(name)):
                raise ValueError(f"{name!r} is neither a host name nor an IP address")
        return names

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together: give both or neither")
        return self

    @property
    def everywhere(self) -> bool:
        """Whether loopback is encrypted, too: whoever gave certificates means them."""
        return self.loopback or self.cert_file is not None


def encrypted(place: str, everywhere: bool) -> bool:
    """Whether a door at `place` (`host:port` or `unix:PATH`) speaks TLS, and so whether its callers do: never on a Unix socket,
    which the kernel guards; always beyond this machine; on loopback if `everywhere`."""
    return not place.startswith("unix:") and (everywhere or not is_loopback(host_of(place)))


def host_of(place: str) -> str:
    """The host of `host:port` or `[IPv6]:port`."""
    return place.rpartition(":")[0].strip("[]")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine whatever a name server says: localhost, 127.0.0.0/8 and ::1."""
    address = _address(host)
    return address.is_loopback if address else host.lower() == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
