"""The port to a language model: prompts in, streamed text out. Generation builds the prompts, adapters speak to servers."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nearcode.domain.completion import Message


@dataclass(frozen=True, slots=True)
class Infill:
    """The same completion for servers that set the fill-in-the-middle tokens themselves; `prefix` includes the context."""

    prefix: str
    suffix: str


@dataclass(frozen=True, slots=True)
class TextRequest:
    """Text to be continued, greedily unless `temperature` says otherwise. `prompt` holds the model's special tokens."""

    prompt: str
    max_tokens: int
    stop: tuple[str, ...] = ()
    infill: Infill | None = None
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be answered; the server applies the model's chat template."""

    messages: Sequence[Message]
    max_tokens: int
    temperature: float = 0.2


@dataclass(frozen=True, slots=True)
class Finish:
    """Closes a stream. `reason` is stop or length; counts are 0 where the server does not tell; `cached_tokens` of the
    prompt were known from an earlier call."""

    reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Which model answers. `context_tokens` is 0 where the server does not tell."""

    name: str
    context_tokens: int = 0


class LanguageModel(Protocol):
    """Streams text and closes with one Finish; closing the stream stops the model.

    All raise Unavailable (nobody answers, or stops answering) and InvalidRequest (no such model, prompt too long).
    """

    async def served(self) -> ServedModel: ...

    def complete(self, request: TextRequest) -> AsyncGenerator[str | Finish, None]: ...

    def chat(self, request: ChatRequest) -> AsyncGenerator[str | Finish, None]: ...

    async def healthy(self) -> bool:
        """Whether a model answers now, or could at once."""
        ...
