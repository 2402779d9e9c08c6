"""Certificates in files: read whole, found good, or refused with what to do."""

import datetime
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from nearcode.domain.errors import InvalidRequest, Reason

WARN_DAYS = 30
"""Days before its end from which a certificate is warned about: two weeks' holiday and two to act."""

UTC = datetime.UTC


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a process finds what it trusts (`ca`) and what it shows (`cert` with its chain, `key`), in PEM."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when a file is replaced or written; a missing file has one, too."""
        return tuple(_stamp(file) for file in (self.ca, self.cert, self.key) if file)


@dataclass(frozen=True, slots=True)
class Material:
    """The content of `files`, found to fit together. Times are seconds since the epoch, 0 where there is no certificate."""

    files: CertificateFiles
    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""
    expires: float = 0.0
    ca_expires: float = 0.0
    client: bool = False
    """Whether a server may take the certificate from us as its client."""
    warnings: tuple[str, ...] = ()


def read_material(files: CertificateFiles, now: datetime.datetime | None = None) -> Material:
    """Reads and checks the files. Raises InvalidRequest (CERTIFICATE) naming the file and the cure."""
    now = now or datetime.datetime.now(UTC)
    ca = _read(files.ca, "ca_file") if files.ca else b""
    authorities = _certificates(ca, files.ca, "ca_file") if files.ca else []
    ca_expires = max((one.not_valid_after_utc for one in authorities), default=None)
    if ca_expires and ca_expires <= now:
        raise _bad(f"the authority in ca_file {files.ca} expired on {day(ca_expires)}: put the one that signs now there")
    if not (files.cert and files.key):
        return Material(files, ca, ca_expires=ca_expires.timestamp() if ca_expires else 0.0)
    chain, key = _read(files.cert, "tls.cert_file"), _read(files.key, "tls.key_file")
    certificates = _certificates(chain, files.cert, "tls.cert_file")
    own = certificates[0]
    _check_times(own, files.cert, now)
    _check_key(own, key, files)
    warnings = _warnings(own, [*certificates[1:], *authorities], files, now)
    ends, ca_ends = own.not_valid_after_utc.timestamp(), ca_expires.timestamp() if ca_expires else 0.0
    shown = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)  # without what lies beside it
    return Material(files, ca, shown, key, ends, ca_ends, _may_be_client(own), warnings)


def names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names and IP addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def day(moment: datetime.datetime) -> str:
    """A date for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()  # of what a link leads to: Kubernetes replaces links
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _read(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _bad(f"{setting} {file} cannot be read: {error.strerror}. Correct the path, or the file's rights") from error


def _certificates(pem: bytes, file: Path | None, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise _bad(f"{setting} {file} holds no certificate in PEM (-----BEGIN CERTIFICATE-----): convert it") from error


def _check_times(own: x509.Certificate, file: Path, now: datetime.datetime) -> None:
    if own.not_valid_after_utc <= now:
        raise _bad(f"the certificate {file} expired on {day(own.not_valid_after_utc)}: renew it")
    if own.not_valid_before_utc > now:
        start = day(own.not_valid_before_utc)
        raise _bad(f"the certificate {file} is valid only from {start}, and this machine's clock says {day(now)}: correct one")


def _check_key(own: x509.Certificate, pem: bytes, files: CertificateFiles) -> None:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError as error:
        raise _bad(f"tls.key_file {files.key} is encrypted: name a file with the key itself, readable by its owner") from error
    except ValueError as error:
        raise _bad(f"tls.key_file {files.key} holds no private key in PEM (-----BEGIN PRIVATE KEY-----): convert it") from error
    if _public_bytes(key.public_key()) != _public_bytes(own.public_key()):
        raise _bad(f"the key {files.key} is not that of the certificate {files.cert}: name a pair that was made together")


def _public_bytes(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, form))  # type: ignore[attr-defined]


def _warnings(
    own: x509.Certificate, issuers: Sequence[x509.Certificate], files: CertificateFiles, now: datetime.datetime
) -> tuple[str, ...]:
    found = []
    left = own.not_valid_after_utc - now
    if left < datetime.timedelta(days=WARN_DAYS):
        found.append(f"the certificate {files.cert} expires in {left.days} days, on {day(own.not_valid_after_utc)}: renew it")
    if files.key and sys.platform != "win32" and files.key.stat().st_mode & stat.S_IRWXO:
        found.append(f"every user of this machine can read the key {files.key}: chmod 600 it")
    if files.ca and not any(_issued(own, issuer) for issuer in issuers):
        found.append(f"no authority in {files.ca} signed {files.cert}: services with the same settings will refuse it")
    return tuple(found)


def _issued(own: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        own.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _may_be_client(own: x509.Certificate) -> bool:
    """Without the extension a certificate is for everything (RFC 5280, 4.2.1.12)."""
    try:
        usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _bad(message: str) -> InvalidRequest:
    return InvalidRequest(message, Reason.CERTIFICATE, "tls")
