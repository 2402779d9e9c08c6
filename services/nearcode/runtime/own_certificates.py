"""The certificates of an installation that was given none: an authority of its own, and one certificate that it signs.

For processes that share a home. The authority never leaves it, so nobody else can make a certificate that they trust.
"""

import datetime
import ipaddress
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nearcode.runtime.certificates import CertificateFiles, names_of
from nearcode.runtime.home import home_error

CA_DAYS = 3650
CERTIFICATE_DAYS = 90
"""As long as public authorities allow in practice; what is renewed by itself may be short."""
RENEW_DAYS = 30
"""A process renews at a third of the life: two thirds have shown that it works, a month is left to see that it did not."""
ALWAYS = ("localhost", "127.0.0.1", "::1")

_UTC = datetime.UTC


def own_files(folder: Path) -> CertificateFiles:
    """Where they lie: certificate and key in one file, so that both are replaced in one step."""
    return CertificateFiles(folder / "ca.pem", folder / "own.pem", folder / "own.pem")


def ensure_own(folder: Path, names: Iterable[str] = (), now: datetime.datetime | None = None) -> CertificateFiles:
    """Makes what is missing, soon expires or lacks one of `names`. Processes that do so at once agree on one result.
    Raises Unavailable when the folder cannot be written."""
    now, files = now or datetime.datetime.now(_UTC), own_files(folder)
    wanted = {*ALWAYS, *names}
    try:
        if not _good(files, wanted, now):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(folder / "lock"):
                if not _good(files, wanted, now):
                    _issue(folder, files, wanted, now)
    except OSError as error:
        raise home_error(error, folder) from error
    return files


def _good(files: CertificateFiles, wanted: set[str], now: datetime.datetime) -> bool:
    own = _load(files.cert)
    return bool(own and _load(files.ca) and wanted <= set(names_of(own)) and _days(own, now) > RENEW_DAYS)


def _load(file: Path | None) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()) if file else None
    except (OSError, ValueError):
        return None


def _days(certificate: x509.Certificate, now: datetime.datetime) -> float:
    return (certificate.not_valid_after_utc - now) / datetime.timedelta(days=1)


def _issue(folder: Path, files: CertificateFiles, wanted: set[str], now: datetime.datetime) -> None:
    ca, ca_key = _authority(folder, now)
    old = _load(files.cert)
    names = sorted(wanted | set(names_of(old) if old else ()))  # another process' names stay
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = _builder("nearcode", ca.subject, key.public_key(), now, CERTIFICATE_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
    builder = builder.add_extension(usage, critical=False).add_extension(_usage(False), critical=True)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    own = builder.add_extension(authority, critical=False).sign(ca_key, hashes.SHA256())
    _replace(folder / "own.pem", _private(key) + _pem(own))


def _authority(folder: Path, now: datetime.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority of this home; a new one where there is none that outlives what it is to sign."""
    file, key_file = folder / "ca.pem", folder / "ca.key"
    ca = _load(file)
    if ca and key_file.exists() and _days(ca, now) > CERTIFICATE_DAYS:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == ca.public_key():
            return ca, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = f"nearcode {secrets.token_hex(4)}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(name, subject, key.public_key(), now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = builder.add_extension(_usage(True), critical=True).sign(key, hashes.SHA256())
    _replace(key_file, _private(key))
    _replace(file, _pem(made) + (_pem(ca) if ca and _days(ca, now) > 0 else b""))  # what the old one signed is still in use
    return made, key


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain)


def _replace(file: Path, content: bytes) -> None:
    """Replaces a file in one step, readable by its owner alone from the first moment."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Holds a lock that the system takes back from a process that dies."""
    with file.open("a+b") as lock:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
