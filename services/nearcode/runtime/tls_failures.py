"""Why a TLS connection fails, in words: gRPC tells little of it, so the other side is looked at once more."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearcode.domain.errors import Reason, Unavailable

if TYPE_CHECKING:
    from nearcode.runtime.certificates import CertificateFiles

SECONDS = 5.0
"""For each of two looks, as long as an attempt to connect may take. Only who answered badly is looked at, so it is quick."""
RETRY_SECONDS = 30.0
"""A certificate is replaced by a person; until then trying more often only fills the logs."""
_SUSPICIOUS = ("handshake failed", "hostname verification", "certificate", "socket closed", "connection reset", "ssl")
"""Parts of gRPC's messages where TLS may be to blame; a refused connection is none of it."""
_REFUSED = "connection refused"
_EXPIRED, _NOT_YET, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""X509_V_ERR_... of OpenSSL."""
_ALERTS = {
    "certificate_required": "this process shows none: give it tls.cert_file and tls.key_file",
    "unknown_ca": "no authority it trusts signed the one this process shows: give both the same tls.ca_file",
    "certificate_expired": "the one this process shows has expired: renew it",
}
_GRPC_WORDS = {
    "certificate has expired": "shows a certificate that has expired: renew it there",
    "certificate is not yet valid": "shows a certificate that is not valid yet: correct the clock here, or renew it there",
    "hostname verification check failed": "shows a certificate for another host: issue one that names this, or use its name",
    "certificate_verify_failed": "shows a certificate of an unknown authority: name that authority's file in ca_file",
    "wrong_version_number": "does not speak TLS: correct the scheme of its address, or give it a certificate",
}
"""In this order: the last but one is part of all before it."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the caller expects of `address`. `files`: none if it calls without TLS. `name`: in place of the host."""

    address: str
    files: "CertificateFiles | None"
    name: str = ""


async def why(expected: Expectation, message: str) -> Unavailable | None:
    """What is wrong with TLS at an address, given how gRPC told the failure; None if it is something else."""
    if expected.address.startswith("unix:") or not _suspicious(expected.address, message.lower()):
        return None
    found = await asyncio.to_thread(_look, expected)
    return Unavailable(found, Reason.CERTIFICATE, RETRY_SECONDS) if found else None


def in_grpcs_words(details: str) -> str:
    """What gRPC itself tells of a fault in TLS, for servers that are not ours; empty if it tells of something else."""
    text = details.lower()
    return next((words for part, words in _GRPC_WORDS.items() if part in text), "")


def _suspicious(place: str, text: str) -> bool:
    """Whether TLS may be to blame. A name may have several addresses, of which gRPC tells only the last one's failure; that one
    may be refused because the server listens on another: `localhost` is ::1 too."""
    return any(part in text for part in _SUSPICIOUS) or (_REFUSED in text and not _is_address(_target(place)[0]))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look(expected: Expectation) -> str:
    """A sentence about what is wrong, with its cure; empty if TLS is not to blame."""
    place = expected.address
    try:
        shown = _shown(expected)
    except ssl.SSLError as error:
        return _alert(place, error) if expected.files else ""
    except (OSError, ValueError):  # not there now: gRPC's own words will do
        return (
            f"{place} ends TLS connections at once: it does not speak TLS, or something between cuts them"
            if (expected.files and _connects(place))
            else ""
        )
    if not expected.files:
        return f"{place} speaks TLS and is called without: give this process its [tls] settings, or set tls.loopback"
    try:
        with _connection(expected, verify=True) as connection:
            answered = _answers(connection)
    except ssl.SSLCertVerificationError as error:
        return _verdict(expected, error, shown)
    except ssl.SSLError as error:
        return _alert(place, error)
    except OSError:
        return ""
    if answered:
        return ""
    if not expected.files.cert:
        return f"{place} asks its callers for a certificate, and {_ALERTS['certificate_required']}"
    return (
        f"{place} does not take the certificate {expected.files.cert} that this process shows: it must be valid, for client "
        "authentication, and of an authority in tls.ca_file there"
    )


def _answers(connection: ssl.SSLSocket) -> bool:
    """Whether the server goes on after the handshake; only then, with TLS 1.3, it has looked at our certificate. gRPC says
    hello first, and hangs up without a word on those whom it does not know."""
    try:
        return bool(connection.recv(1))
    except (ssl.SSLEOFError, ConnectionError):
        return False
    except TimeoutError:
        return True


def _connects(place: str) -> bool:
    try:
        with socket.create_connection(_target(place), SECONDS):
            return True
    except OSError:
        return False


def _shown(expected: Expectation) -> bytes:
    """The certificate that the server shows, whoever signed it, in DER."""
    with _connection(expected, verify=False) as connection:
        return connection.getpeercert(True) or b""


def _connection(expected: Expectation, verify: bool) -> ssl.SSLSocket:
    host, port = _target(expected.address)
    if verify and expected.files:
        from nearcode.runtime.tls import client_context

        context = client_context(expected.files)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection((host, port), SECONDS)
    try:
        return context.wrap_socket(plain, server_hostname=expected.name or host)
    except BaseException:
        plain.close()
        raise


def _target(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)


def _alert(place: str, error: ssl.SSLError) -> str:
    text = str(error).lower().replace(" ", "_")
    if "wrong_version_number" in text or "http_request" in text or "record_layer_failure" in text:
        return f"{place} does not speak TLS: give the process there its [tls] settings, or correct the address"
    for alert, cure in _ALERTS.items():
        if alert in text:
            return f"{place} asks its callers for a certificate, and {cure}"
    return f"{place} refuses the TLS connection ({error.reason or error}): see the log there"


def _verdict(expected: Expectation, error: ssl.SSLCertVerificationError, shown: bytes) -> str:
    """What the verification found, with what the certificate says of itself."""
    from cryptography import x509

    from nearcode.runtime.certificates import day, names_of

    certificate = x509.load_der_x509_certificate(shown)
    place, files = expected.address, expected.files
    if error.verify_code == _EXPIRED and certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        return f"the certificate of {place} expired on {day(certificate.not_valid_after_utc)}: renew it there"
    if error.verify_code == _NOT_YET:
        since = day(certificate.not_valid_before_utc)
        return f"the certificate of {place} is valid only from {since}: correct the clock here, or the certificate there"
    if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        names = ", ".join(names_of(certificate)) or "no name at all"
        wanted = expected.name or _target(place)[0]
        return (
            f"the certificate of {place} is for {names}, not for {wanted}: issue one that names it, call it by its name, "
            "or set tls.server_name"
        )
    trusted = files.ca if files and files.ca else "this machine"
    signer = certificate.issuer.rfc4514_string()
    return (
        f"the certificate of {place} was signed by {signer}, which {trusted} does not vouch for ({error.verify_message}): give "
        "this process the tls.ca_file that belongs to it"
    )
