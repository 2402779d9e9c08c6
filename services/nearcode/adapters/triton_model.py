"""A language model on a Triton server: a decoupled model (vLLM's or TensorRT-LLM's backend), streamed over gRPC.

What the model must take and give is in models/README.md. Prompts and the server's words about them are never put into errors.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc.aio import InferenceServerClient

from nearcode.adapters.triton_client import ANSWER_SECONDS, Served
from nearcode.adapters.triton_prompts import chat_values, tensors, text_values
from nearcode.domain.errors import NearcodeError, Reason
from nearcode.domain.language_model import ChatRequest, Finish, ServedModel, TextRequest

if TYPE_CHECKING:
    from tritonclient.grpc import InferResult

_SILENCE_SECONDS = 120.0
"""No token for this long means that the model hangs: the longest prompt takes about a minute to read."""
_CONTEXT = "context_tokens"
"""The parameter of config.pbtxt that tells how many tokens the model can hold."""


@dataclass(frozen=True, slots=True)
class _Model:
    inputs: tuple[Any, ...]
    context_tokens: int


@dataclass(slots=True)
class _Count:
    """What the responses told so far."""

    reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    pieces: int = 0

    def read(self, result: "InferResult") -> str:
        """Notes a response and returns its text."""
        reason = _text(result, "finish_reason")
        self.reason = reason if reason not in ("", "None") else self.reason  # vLLM says None until the end
        self.prompt_tokens = _number(result, "num_input_tokens") or self.prompt_tokens
        self.completion_tokens += _number(result, "num_output_tokens")
        text = _text(result, "text_output")
        self.pieces += bool(text)
        return text

    def finish(self, limit: int) -> Finish:
        """A model that does not tell why it ended, ended at the limit if it gave that many pieces."""
        reason = self.reason or ("length" if self.pieces >= limit else "stop")
        return Finish("length" if reason == "length" else "stop", self.prompt_tokens, self.completion_tokens)


class TritonModel:
    """`LanguageModel` over `ModelStreamInfer`. `url` is `grpc://HOST:PORT` or `grpcs://HOST:PORT`, `settings` the branch that
    errors name. Closing a stream cancels the request."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        silence_seconds: float = _SILENCE_SECONDS,
        settings: str = "generation",
    ) -> None:
        self._served = Served(url, model, Reason.GENERATOR_UNAVAILABLE, settings)
        self._credentials, self._silence = credentials, silence_seconds
        self._client: InferenceServerClient | None = None
        self._model: _Model | None = None

    async def served(self) -> ServedModel:
        """The model by the name that Triton serves it under."""
        return ServedModel(self._served.model, (await self._look()).context_tokens)

    async def healthy(self) -> bool:
        """Whether the model is ready now."""
        self._model = None
        try:
            await self._look()
        except NearcodeError:
            return False
        return True

    async def complete(self, request: TextRequest) -> AsyncGenerator[str | Finish, None]:
        """Streams the continuation of a prompt."""
        async with aclosing(self._stream(text_values(request), request.max_tokens)) as parts:
            async for part in parts:
                yield part

    async def chat(self, request: ChatRequest) -> AsyncGenerator[str | Finish, None]:
        """Streams the answer to a conversation."""
        async with aclosing(self._stream(chat_values(request), request.max_tokens)) as parts:
            async for part in parts:
                yield part

    async def close(self) -> None:
        """Ends the connection."""
        if self._client:
            await self._client.close()
            self._client = None

    def _connected(self) -> InferenceServerClient:
        if self._client is None:
            self._client = self._served.connect(self._credentials)
        return self._client

    async def _look(self) -> _Model:
        """Asked once, and again after an error."""
        if self._model:
            return self._model
        client, name = self._connected(), self._served.model
        with self._served.errors():
            if not await client.is_model_ready(name, client_timeout=ANSWER_SECONDS):
                raise self._served.missing()
            about, answer = await asyncio.gather(
                client.get_model_metadata(name, client_timeout=ANSWER_SECONDS),
                client.get_model_config(name, client_timeout=ANSWER_SECONDS),
            )
        if not answer.config.model_transaction_policy.decoupled:
            raise self._served.unfit("is not decoupled, so it cannot stream; serve one made as models/README.md says")
        missing = {"text_input"} - {each.name for each in about.inputs} | {"text_output"} - {
            each.name for each in about.outputs
        }
        if missing:
            raise self._served.unfit(f"has no {' and no '.join(sorted(missing))}; serve one made as models/README.md says")
        told = answer.config.parameters[_CONTEXT].string_value if _CONTEXT in answer.config.parameters else ""
        self._model = _Model(tuple(about.inputs), int(told) if told.isdecimal() else 0)
        return self._model

    async def _stream(self, values: Mapping[str, Any], limit: int) -> AsyncGenerator[str | Finish, None]:
        model = await self._look()
        count = _Count()
        request = {"model_name": self._served.model, "inputs": tensors(model.inputs, values)}
        try:
            with self._served.errors():
                responses = self._connected().stream_infer(_once(request))
                try:
                    while (result := await self._next(responses)) is not None:
                        if text := count.read(result):
                            yield text
                finally:
                    responses.cancel()
        except NearcodeError:
            self._model = None
            raise
        yield count.finish(limit)

    async def _next(self, responses: Any) -> "InferResult | None":
        """The next response; None when the model has ended."""
        try:
            async with asyncio.timeout(self._silence):
                result, error = await anext(responses)
        except StopAsyncIteration:
            return None
        except TimeoutError as silent:
            raise self._served.unavailable("hangs; look at Triton's log, or restart it") from silent
        if error:
            raise error
        return result


async def _once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _text(result: "InferResult", name: str) -> str:
    array = result.as_numpy(name)
    return b"".join(array.ravel()).decode("utf-8", "replace") if array is not None else ""


def _number(result: "InferResult", name: str) -> int:
    array = result.as_numpy(name)
    return int(array.sum()) if array is not None else 0
