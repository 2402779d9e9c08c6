"""Where a server listens: a free port is told, a taken one is refused, a Unix socket belongs to its user and one server."""

import errno
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import grpc

from nearcode.domain.errors import Conflict, InvalidRequest, NearcodeError, Reason
from nearcode.runtime.encryption import encrypted

LONGEST_SOCKET_PATH = 103
"""Bytes of `sun_path` without its end on macOS; Linux takes four more."""


def listen(
    server: grpc.aio.Server,
    place: str,
    held: ExitStack,
    credentials: grpc.ServerCredentials | None = None,
    *,
    plaintext: bool = False,
) -> str:
    """Makes `server` listen on `host:port` or `unix:PATH` and returns the address that clients use.

    `held` closes what must stay while the server runs. `plaintext`: for probes, which may come from anywhere and are told next
    to nothing. Raises Conflict (ADDRESS_IN_USE) and InvalidRequest, also when any other place beyond this machine is to be
    opened without `credentials`.
    """
    if place.startswith("unix:"):
        return _listen_on_socket(server, Path(place.removeprefix("unix:")).absolute(), held)
    host, port = host_and_port(place)
    if credentials is None and not plaintext:
        refuse_plaintext(place)
    try:
        bound = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
        return f"{place.rpartition(':')[0]}:{bound}"
    except RuntimeError as error:
        raise refusal(host, port) from error


def refuse_plaintext(place: str) -> None:
    """No door beyond this machine without TLS, whoever opens it. Raises InvalidRequest."""
    if encrypted(place, everywhere=False):
        message = f"{place} is not on loopback, and this door has no certificate: give tls.cert_file, or listen on 127.0.0.1"
        raise InvalidRequest(message, Reason.INVALID_SETTING)


def host_and_port(place: str) -> tuple[str, int]:
    """`host:port` or `[IPv6]:port` in parts. Raises InvalidRequest."""
    host, _, port = place.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise InvalidRequest(f"{place!r} is no host:port to listen on", Reason.INVALID_SETTING)
    return host.strip("[]"), int(port)


def refusal(host: str, port: int) -> NearcodeError:
    """Why nobody can listen there; gRPC itself tells only its log."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return InvalidRequest(f"cannot listen on {host}:{port}: {error.strerror}", Reason.INVALID_SETTING)
    return taken(f"{host}:{port}")


def taken(place: str) -> Conflict:
    """Another process listens there."""
    return Conflict(f"{place} is in use by another process; stop it or choose another address", Reason.ADDRESS_IN_USE)


def _listen_on_socket(server: grpc.aio.Server, path: Path, held: ExitStack) -> str:
    if sys.platform == "win32":
        raise InvalidRequest("there are no Unix sockets on Windows; use 127.0.0.1:0", Reason.INVALID_SETTING)
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise InvalidRequest(f"{path} is longer than {LONGEST_SOCKET_PATH} bytes", Reason.INVALID_SETTING)
    _claim(path, held)
    mask = os.umask(0o177)  # the socket is never open to others, not even between bind and chmod
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise InvalidRequest(f"cannot listen on {path}: is it a file or folder?", Reason.INVALID_SETTING) from error
    finally:
        os.umask(mask)
    held.callback(path.unlink, missing_ok=True)
    return f"unix:{path}"


def _claim(path: Path, held: ExitStack) -> None:
    """Takes the lock beside the socket: gRPC would quietly take a living server's socket away from it.

    The kernel frees the lock of a process that was killed, and gRPC replaces the socket that it left behind.
    """
    import fcntl

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = held.enter_context(path.with_name(path.name + ".lock").open("a"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise taken(f"unix:{path}") from error
    except OSError as error:
        raise InvalidRequest(f"cannot listen on {path}: {error.strerror}", Reason.INVALID_SETTING) from error
