"""What both Triton adapters share: the connection, and what the server's refusals mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.runtime.reconnecting import RECONNECTING
from nearcode.runtime.tls_failures import in_grpcs_words

ANSWER_SECONDS = 5.0
"""For questions about the server and the model, which it answers at once or not at all."""
_CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    *RECONNECTING,
    ("grpc.enable_retries", 0),  # what is tried again, and how long, is decided here
]
_QUEUE_FULL = "exceeds maximum queue size"
_EXPIRED = "timeout expired"
_UNKNOWN_MODEL = "unknown model"
_TOO_LONG = ("longer than the maximum", "maximum context length", "exceeds maximum input length")
"""vLLM's words, older and newer, and TensorRT-LLM's."""
_SHOWN = 200
"""Characters of the server's own words in a message."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model on a Triton server at `url` (`grpc://HOST:PORT`, `grpcs://HOST:PORT`); `reason` and `settings` are what errors
    name."""

    url: str
    model: str
    reason: Reason
    settings: str

    def connect(self, credentials: grpc.ChannelCredentials | None = None) -> InferenceServerClient:
        """A client, not yet connected. `credentials` default to the system's certificate authorities for `grpcs`. Raises
        InvalidRequest(INVALID_SETTING)."""
        if not self.model:
            message = f"no model on Triton at {self.url} is named; set {self.settings}.model to its name there"
            raise InvalidRequest(message, Reason.INVALID_SETTING, f"{self.settings}.model")
        scheme, _, address = self.url.rstrip("/").rpartition("://")
        if scheme not in ("", "grpc", "grpcs") or not address:
            raise InvalidRequest(
                f"{self.url!r} does not name a Triton server; set {self.settings}.url to grpc://HOST:PORT or grpcs://HOST:PORT",
                Reason.INVALID_SETTING,
                f"{self.settings}.url",
            )
        if credentials is None and scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials()
        return InferenceServerClient(address, creds=credentials, channel_args=_CHANNEL)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the client raises into the six errors."""
        try:
            yield
        except InferenceServerException as error:
            raise self.explain(error.status() or "", error.message() or "") from error
        except grpc.RpcError as error:
            raise self.explain(str(error.code()), error.details() or "") from error

    def explain(self, status: str, words: str) -> NearcodeError:
        """The error for a gRPC status and Triton's words. Those of a failing model may quote code: they are not passed on."""
        code, lower = status.removeprefix("StatusCode."), words.lower()
        if _UNKNOWN_MODEL in lower or code in ("NOT_FOUND", "UNIMPLEMENTED"):
            return self.missing()
        if _QUEUE_FULL in lower:
            return Unavailable(f"the queue of the model {self.model} at {self.url} is full", Reason.OVERLOADED)
        if any(each in lower for each in _TOO_LONG):
            return InvalidRequest("the prompt is longer than the model's context", Reason.TOO_LARGE)
        if code == "DEADLINE_EXCEEDED" or _EXPIRED in lower:
            return self.unavailable("does not answer in time; look at Triton's log, or restart it")
        if fault := in_grpcs_words(words):
            return Unavailable(f"Triton at {self.url} {fault}", Reason.CERTIFICATE, 30.0)
        if code == "UNAVAILABLE":
            cure = f"start it, or correct {self.settings}.url"
            return Unavailable(f"no Triton server answers at {self.url} ({words[:_SHOWN]}); {cure}", self.reason)
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return self.unavailable("may not be used with these credentials; give nearcode a certificate that Triton trusts")
        if code == "RESOURCE_EXHAUSTED":
            return InvalidRequest(f"the request is larger than {self.url} accepts", Reason.TOO_LARGE)
        if code == "INVALID_ARGUMENT":
            return self.unfit(f"refused the request: {words[:_SHOWN]}")
        return self.unavailable("failed; look at Triton's log")

    def missing(self) -> Unavailable:
        """The model is not loaded, or not any more."""
        cure = f"load it there, or correct {self.settings}.model"
        return Unavailable(f"Triton at {self.url} does not serve the model {self.model}; {cure}", self.reason)

    def unavailable(self, what: str) -> Unavailable:
        """The model does not answer as it should."""
        return Unavailable(f"the model {self.model} on Triton at {self.url} {what}", self.reason)

    def unfit(self, what: str) -> InvalidRequest:
        """The model is not what the settings say."""
        return InvalidRequest(
            f"the model {self.model} on Triton at {self.url} {what}", Reason.INVALID_SETTING, f"{self.settings}.model"
        )


def queue_was_full(error: InferenceServerException) -> bool:
    """Whether the server refused for now."""
    return _QUEUE_FULL in (error.message() or "").lower()


def is_unavailable(error: InferenceServerException) -> bool:
    """Whether the same request may succeed in a moment: a full queue, or a server that stops or starts."""
    words = error.message() or ""
    lasting = in_grpcs_words(words) or _UNKNOWN_MODEL in words.lower() or _EXPIRED in words.lower()
    return error.status() == "StatusCode.UNAVAILABLE" and not lasting
