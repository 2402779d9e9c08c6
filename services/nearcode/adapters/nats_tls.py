"""NATS over TLS, and nothing less: the client library itself obeys a server, or whoever poses as one, that has none."""

from typing import Any

from nats.aio.client import Client
from nats.errors import Error


class NotEncrypted(Error):
    """The server at a `tls://` address does not speak TLS."""

    def __str__(self) -> str:
        return "the server does not speak TLS"


class EncryptedClient(Client):
    """A client that ends every connection, also a later one, before it sends its token into the open."""

    def _connect_command(self) -> bytes:
        # The last step before anything is sent, and after TLS began if it does. A test holds the library to that.
        if not self._server_info.get("tls_required"):
            raise NotEncrypted
        return bytes(super()._connect_command())


def encrypts(url: str) -> bool:
    """Whether any of the servers, separated by commas, is to be reached over TLS."""
    return any(each.strip().startswith("tls://") for each in url.split(","))


def fault(error: BaseException) -> str:
    """What is wrong with TLS, for people; empty if something else is wrong."""
    import ssl

    cause: Any = error
    while cause is not None:
        if isinstance(cause, NotEncrypted):
            return "it does not speak TLS: give it a certificate (`tls { cert_file, key_file }`), or correct events.url"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused ({cause.verify_message}): renew it there, or correct events.ca_file"
        if isinstance(cause, ssl.SSLError):
            text = str(cause.reason or cause).replace("_", " ").lower()
            return f"TLS fails ({text}): it may ask for a certificate (events.cert_file), or trust another authority"
        cause = cause.__cause__ or cause.__context__
    return ""
