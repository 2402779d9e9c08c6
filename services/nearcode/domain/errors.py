"""Six expected failures. Anything else that is raised is a bug.

Each edge maps them in one table: gRPC in `runtime/rpc_errors.py`, NATS in `adapters/jetstream.py`, the shell in `cli`.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Every error that a caller can tell apart; the same names as `nearcode.api.errors.v1.Reason`."""

    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    INVALID_FIELD = "INVALID_FIELD"
    TOO_LARGE = "TOO_LARGE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    REPOSITORY_NOT_FOUND = "REPOSITORY_NOT_FOUND"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    STALE_GENERATION = "STALE_GENERATION"
    HOME_LOCKED = "HOME_LOCKED"
    ADDRESS_IN_USE = "ADDRESS_IN_USE"
    EVENTS_UNAVAILABLE = "EVENTS_UNAVAILABLE"
    INDEX_UNAVAILABLE = "INDEX_UNAVAILABLE"
    EMBEDDER_UNAVAILABLE = "EMBEDDER_UNAVAILABLE"
    GENERATOR_UNAVAILABLE = "GENERATOR_UNAVAILABLE"
    MODEL_MISSING = "MODEL_MISSING"
    DISK_FULL = "DISK_FULL"
    OVERLOADED = "OVERLOADED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INVALID_SETTING = "INVALID_SETTING"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INDEX_MISMATCH = "INDEX_MISMATCH"
    SPACE_BUSY = "SPACE_BUSY"
    CERTIFICATE = "CERTIFICATE"
    EVENTS_MISMATCH = "EVENTS_MISMATCH"
    EVENTS_UNSAFE = "EVENTS_UNSAFE"
    REPOSITORY_UNREACHABLE = "REPOSITORY_UNREACHABLE"
    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    CREDENTIALS_REFUSED = "CREDENTIALS_REFUSED"
    REMOTE_NOT_FOUND = "REMOTE_NOT_FOUND"
    NO_SUCH_BRANCH = "NO_SUCH_BRANCH"
    FETCH_FAILED = "FETCH_FAILED"
    FETCH_IN_PROGRESS = "FETCH_IN_PROGRESS"


class NearcodeError(Exception):
    """An expected failure: a message that says what to do, and a reason that a program can tell apart."""

    default = Reason.INVALID_FIELD

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default


class InvalidRequest(NearcodeError):
    """The caller must change the request. `field` names the part that is wrong, if one is."""

    def __init__(self, message: str, reason: Reason | None = None, field: str = "") -> None:
        super().__init__(message, reason)
        self.field = field


class Unauthenticated(NearcodeError):
    """Nobody we know is asking."""

    default = Reason.UNAUTHENTICATED


class PermissionDenied(NearcodeError):
    """The caller may not do this, whoever owns the thing. For things of a repository use NotFound."""

    default = Reason.PERMISSION_DENIED


class NotFound(NearcodeError):
    """No such thing, or none that the caller may see."""

    default = Reason.REPOSITORY_NOT_FOUND


class Conflict(NearcodeError):
    """Somebody else changed it first."""

    default = Reason.STALE_GENERATION


class Unavailable(NearcodeError):
    """A dependency does not answer now. `retry_after` is in seconds."""

    default = Reason.SERVICE_UNAVAILABLE

    def __init__(self, message: str, reason: Reason | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, reason)
        self.retry_after = retry_after
