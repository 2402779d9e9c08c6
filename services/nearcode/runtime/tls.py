"""TLS of a process: which certificates it trusts and shows, and how they are replaced while it runs."""

import ssl
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason
from nearcode.runtime.encryption import WILDCARDS, TlsSettings, encrypted, host_of
from nearcode.telemetry.log import get_logger

if TYPE_CHECKING:
    import grpc

    from nearcode.runtime.certificates import CertificateFiles, Material

log = get_logger(__name__)

LOOK_SECONDS = 1.0
"""How old what we know of the files may be: a replaced certificate is used within a second, and a call costs no stat."""


class Tls:
    """What this process trusts and shows. Files are read when first needed, and again after they were replaced.

    `folder` is where an installation without certificates keeps its own; `hosts` are names that they are for.
    """

    def __init__(self, settings: TlsSettings, folder: Path, hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self._folder = folder
        self._hosts = sorted({*hosts, *settings.names} - WILDCARDS - {""})
        self._lock = threading.Lock()  # gRPC asks from a thread of its own
        self._material: Material | None = None
        self._stamp: object = None
        self._looked = 0.0

    def encrypts(self, place: str) -> bool:
        """The rule, with this process' settings."""
        return encrypted(place, self.settings.everywhere)

    def prepare(self) -> "Material":
        """What a door shows: the files given, or our own, made if need be. Logs warnings; returns what was read.
        Raises InvalidRequest (CERTIFICATE) with what to do, and Unavailable."""
        settings = self.settings
        mutual = settings.client_auth != "off"
        if not settings.cert_file and settings.ca_file:
            raise _bad(f"no certificate to show that {settings.ca_file} signed: give tls.cert_file", "cert_file")
        if settings.cert_file and mutual and not settings.ca_file:
            raise _bad("tls.ca_file is missing: give the authority of callers, or set client_auth to off", "ca_file")
        if not settings.cert_file:
            self._ensure_own()
        material = self.material(0.0)
        if mutual and not material.client:
            what = f"{material.files.cert} is for servers only, and services ask each other for certificates"
            raise _bad(f"{what}: issue it for client authentication, too, or set tls.client_auth to off", "cert_file")
        return material

    def material(self, age: float = LOOK_SECONDS) -> "Material":
        """What the files hold, known for `age` seconds at most. What cannot be read leaves in force what was read before."""
        with self._lock:
            if self._material is None or time.monotonic() - self._looked >= age:
                self._look()
            assert self._material
            return self._material

    def server_credentials(self, ask_clients: bool) -> "grpc.ServerCredentials":
        """For a gRPC door; each new connection sees the certificate that lies in the files then."""
        import grpc

        shown: list[Material] = [self.prepare()]

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            material = self.material()
            if material is shown[0]:
                return None
            shown[0] = material
            return _configuration(material)

        return grpc.dynamic_ssl_server_credentials(_configuration(shown[0]), renewed, ask_clients)

    def channel_credentials(self, ca: Path | None = None) -> "grpc.ChannelCredentials":
        """For a gRPC channel, which keeps what it began with. `ca`: other authorities than ours. Raises InvalidRequest."""
        import grpc

        material = self.material()
        roots = Path(self.authorities(str(ca))).read_bytes() if ca else material.ca or _system_roots()
        return grpc.ssl_channel_credentials(roots, material.key or None, material.cert or None)

    def expected_name(self, place: str) -> str:
        """The name that the certificate at `place` must hold where that is not its host; else empty."""
        if self.settings.server_name:
            return self.settings.server_name
        return "localhost" if host_of(place) in WILDCARDS else ""

    def server_context(self) -> ssl.SSLContext:
        """For an HTTP door; each new connection sees the certificate that lies in the files then."""
        shown = [self.prepare()]
        contexts = [_server_context(shown[0])]

        def renew(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            material = self.material()
            if material is not shown[0]:
                shown[0], contexts[0] = material, _server_context(material)
            connection.context = contexts[0]

        first = contexts[0]
        first.sni_callback = renew
        return first

    def client_context(self, ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """For connections that another library makes. Each new one uses the files as they are then: those given, and where none
        is given what this process trusts and shows itself."""
        from nearcode.runtime.certificates import CertificateFiles

        def files() -> CertificateFiles:
            own = self.material().files
            return CertificateFiles(ca or own.ca, cert or own.cert, key or own.key)

        return _Renewing(files)

    def authorities(self, given: str = "") -> str:
        """The file of authorities for a library that takes a path: the one given, else ours, else the system's; maybe empty.
        Raises InvalidRequest when a given one cannot be used."""
        from nearcode.runtime.certificates import CertificateFiles, read_material

        if file := given or self.settings.ca_file:
            read_material(CertificateFiles(Path(file)))
        return str(file or ssl.get_default_verify_paths().cafile or "")

    def expiry(self, part: Literal["certificate", "ca"]) -> Callable[[], float]:
        """For a gauge: when the certificate ends, seconds since the epoch; 0 if there is none."""
        return lambda: getattr(self.material(), "expires" if part == "certificate" else "ca_expires")

    def _look(self) -> None:
        from nearcode.runtime.certificates import read_material

        if self._renews_own:
            self._ensure_own()
        files = self._files()
        stamp, self._looked = files.stamp(), time.monotonic()
        if self._material is not None and stamp == self._stamp:
            return
        try:
            material = read_material(files)
        except NearcodeError as error:
            if self._material is None:
                raise
            log.error("the new certificate is not used", error=error.message)  # noqa: TRY400 - expected, no stack
        else:
            for warning in material.warnings:
                log.warning("certificate", about=warning)
            self._material = material
        self._stamp = stamp  # taken before reading: what changed meanwhile is read next time

    @property
    def _renews_own(self) -> bool:
        """Whether what we showed until now is ours and old enough to be renewed."""
        from nearcode.runtime.certificates import WARN_DAYS

        now = self._material
        return bool(now and not self.settings.cert_file and now.expires and now.expires - time.time() < WARN_DAYS * 86400)

    def _ensure_own(self) -> None:
        from nearcode.runtime.own_certificates import ensure_own

        ensure_own(self._folder, self._hosts)

    def _files(self) -> "CertificateFiles":
        from nearcode.runtime.certificates import CertificateFiles

        settings = self.settings
        if settings.cert_file or settings.ca_file:
            return CertificateFiles(settings.ca_file, settings.cert_file, settings.key_file)
        from nearcode.runtime.own_certificates import own_files

        own = own_files(self._folder)
        return own if own.ca and own.ca.exists() else CertificateFiles()


class _Renewing(ssl.SSLContext):
    """A context that hands each connection to one made of the files as they are now."""

    def __new__(cls, files: "Callable[[], CertificateFiles]") -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, files: "Callable[[], CertificateFiles]") -> None:
        self._files = files
        self._stamp: object = None
        self._newest()

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._newest().wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        return self._newest().wrap_socket(*arguments, **options)

    def _newest(self) -> ssl.SSLContext:
        files = self._files()
        if self._stamp != (stamp := files.stamp()):
            self._context, self._stamp = client_context(files), stamp
        return self._context


def client_context(files: "CertificateFiles") -> ssl.SSLContext:
    """Trusts `files.ca`, or the system's authorities, and shows our certificate to who asks. Raises InvalidRequest."""
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.cert:
            context.load_cert_chain(files.cert, files.key)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(str(file) for file in (files.ca, files.cert, files.key) if file)
        raise InvalidRequest(f"{named} cannot be used for TLS: {error}", Reason.CERTIFICATE) from error
    return context


def _bad(message: str, setting: str) -> InvalidRequest:
    return InvalidRequest(message, Reason.CERTIFICATE, f"tls.{setting}")


def _server_context(material: "Material") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert material.files.cert
    context.load_cert_chain(material.files.cert, material.files.key)
    return context


def _configuration(material: "Material") -> "grpc.ServerCertificateConfiguration":
    import grpc

    return grpc.ssl_server_certificate_configuration([(material.key, material.cert)], material.ca or _system_roots())


def _system_roots() -> bytes | None:
    """The authorities that this machine trusts, a company's own among them; gRPC itself knows the public ones only."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else None
