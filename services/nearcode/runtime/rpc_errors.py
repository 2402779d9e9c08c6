"""The one table between expected failures and gRPC status codes, with google.rpc details in both directions.

Details travel as `google.rpc.Status` in the trailing metadata: ErrorInfo (the reason, in domain nearcode.dev) always, RetryInfo
for Unavailable and BadRequest for a field that is wrong. The text of an unexpected exception never leaves the process.
"""

from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from nearcode.domain.errors import (
    Conflict,
    InvalidRequest,
    NearcodeError,
    NotFound,
    PermissionDenied,
    Reason,
    Unauthenticated,
    Unavailable,
)

DOMAIN = "nearcode.dev"
DETAILS = "grpc-status-details-bin"
LONGEST_MESSAGE = 1000
"""Bytes. Clients refuse more than 8 KB of metadata, and a message travels in it up to three times, escaped."""

_CODES: dict[type[NearcodeError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ABORTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_UNAVAILABLE_CODES = {
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CLASSES = {code: kind for kind, code in _CODES.items()}
_FOREIGN_REASONS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.OVERLOADED,
}


def code_of(error: NearcodeError) -> grpc.StatusCode:
    """The status code of an expected failure."""
    if isinstance(error, Unavailable):
        return _UNAVAILABLE_CODES.get(error.reason, grpc.StatusCode.UNAVAILABLE)
    return next(code for kind, code in _CODES.items() if isinstance(error, kind))


def grpc_code(status: status_pb2.Status) -> grpc.StatusCode:
    """The code of a status, as gRPC's own enum."""
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)


def status_of(error: NearcodeError) -> status_pb2.Status:
    """An expected failure as google.rpc.Status."""
    message = _sendable(error.message)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, Unavailable):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(retry)
    if isinstance(error, InvalidRequest) and error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=_sendable(error.field), description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=code_of(error).value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _sendable(text: str) -> str:
    """Cut to length, and without the surrogates that stand for odd bytes in file names."""
    return text.encode("utf-8", "replace")[:LONGEST_MESSAGE].decode("utf-8", "ignore")


def internal(trace_id: str) -> status_pb2.Status:
    """What the caller learns of a bug: that there was one, and where the operator finds it in the logs."""
    return status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=f"internal error, trace {trace_id}")


async def abort(context: grpc.aio.ServicerContext, status: status_pb2.Status) -> NoReturn:
    """Ends a call with `status`. gRPC's own retries stay out: they are for servers that could not be reached."""
    await context.abort(
        grpc_code(status), status.message, ((DETAILS, status.SerializeToString()), ("grpc-retry-pushback-ms", "-1"))
    )
    raise AssertionError("abort raises")


def error_of(error: grpc.aio.AioRpcError, asked: str) -> NearcodeError:
    """The expected failure that a failed call stands for; `asked` names the service and its address.

    A status that is none of ours (a bug over there, a proxy, nobody listening) is Unavailable: to the caller it is a
    dependency that does not answer.
    """
    status = _details(error)
    reason, message = _reason(status), error.details() or ""
    if reason is None:
        return _foreign(error.code(), message, asked)
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidRequest(message, reason, _field(status))
    kind = _CLASSES.get(error.code(), Unavailable)
    if kind is Unavailable:
        return Unavailable(message, reason, _retry_after(status))
    return kind(message, reason)


def _details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _reason(status: status_pb2.Status) -> Reason | None:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN and info.reason in Reason.__members__:
            return Reason(info.reason)
    return None


def _field(status: status_pb2.Status) -> str:
    bad = error_details_pb2.BadRequest()
    return next((bad.field_violations[0].field for detail in status.details if detail.Unpack(bad) and bad.field_violations), "")


def _retry_after(status: status_pb2.Status) -> float:
    retry = error_details_pb2.RetryInfo()
    return next((retry.retry_delay.ToNanoseconds() / 1e9 for detail in status.details if detail.Unpack(retry)), 1.0)


def _foreign(code: grpc.StatusCode, message: str, asked: str) -> NearcodeError:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:  # the words of gRPC's own limit
        return InvalidRequest(f"{asked}: {message}", Reason.TOO_LARGE)
    if code in _CLASSES and code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED):
        return _CLASSES[code](f"{asked}: {message}")
    return Unavailable(f"{asked} does not answer ({code.name}: {message})", _FOREIGN_REASONS.get(code))
