"""Every expected failure crosses gRPC and comes out the same; anything else tells nothing of itself."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st
from nearcode.api.errors.v1 import errors_pb2
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
from nearcode.runtime.rpc_errors import DETAILS, LONGEST_MESSAGE, code_of, error_of, grpc_code, internal, status_of

reasons = st.sampled_from(Reason)
messages = st.text(max_size=200)
plain = [Unauthenticated, PermissionDenied, NotFound, Conflict]
failures = st.one_of(
    st.builds(InvalidRequest, messages, reasons, st.text(max_size=30)),
    st.builds(Unavailable, messages, reasons, st.floats(0, 3600).map(lambda seconds: round(seconds, 6))),
    st.sampled_from(plain).flatmap(lambda kind: st.builds(kind, messages, reasons)),
)


def crossed(error: NearcodeError) -> NearcodeError:
    status = status_of(error)
    trailing = Metadata((DETAILS, status.SerializeToString()))
    return error_of(AioRpcError(grpc_code(status), Metadata(), trailing, details=status.message), "it")


@given(failures)
def test_an_expected_failure_comes_out_as_it_went_in(error: NearcodeError) -> None:
    there = crossed(error)
    assert type(there) is type(error)
    assert vars(there) == pytest.approx(vars(error))


def test_each_reason_has_a_name_on_the_wire_and_no_name_there_is_unknown_here() -> None:
    names = [
        name.removeprefix("REASON_") for name in errors_pb2.Reason.DESCRIPTOR.values_by_name if name != "REASON_UNSPECIFIED"
    ]
    assert names == [reason.value for reason in Reason] == list(Reason.__members__)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest(""), "INVALID_ARGUMENT"),
        (Unauthenticated(""), "UNAUTHENTICATED"),
        (PermissionDenied(""), "PERMISSION_DENIED"),
        (NotFound(""), "NOT_FOUND"),
        (Conflict(""), "ABORTED"),
        (Unavailable(""), "UNAVAILABLE"),
        (Unavailable("", Reason.OVERLOADED), "RESOURCE_EXHAUSTED"),
        (Unavailable("", Reason.DISK_FULL), "RESOURCE_EXHAUSTED"),
        (Unavailable("", Reason.DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED"),
    ],
)
def test_each_kind_of_failure_has_its_code(error: NearcodeError, code: str) -> None:
    assert code_of(error).name == code


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize("details", [None, b"", b"\xff\xff"])
def test_a_status_that_is_not_ours_is_some_expected_failure(code: grpc.StatusCode, details: bytes | None) -> None:
    trailing = Metadata() if details is None else Metadata((DETAILS, details))
    error = error_of(AioRpcError(code, Metadata(), trailing, details="of a proxy"), "RetrievalService at far:1")
    assert "RetrievalService at far:1" in error.message and "of a proxy" in error.message
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        assert isinstance(error, Unavailable)


@pytest.mark.parametrize("text", ["\u4e2d" * 100_000, "\n" * 100_000, "file \udcff"])
def test_a_message_fits_into_the_metadata_of_a_call_whatever_it_holds(text: str) -> None:
    status = status_of(InvalidRequest(text, field=text))
    assert 0 < len(status.message.encode()) <= LONGEST_MESSAGE
    assert len(status.SerializeToString()) < 4096


def test_a_bug_tells_its_trace_and_nothing_else() -> None:
    assert internal("abc").message == "internal error, trace abc"
    assert grpc_code(internal("abc")) is grpc.StatusCode.INTERNAL
