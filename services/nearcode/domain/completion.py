"""Code and answers written by a language model."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nearcode.domain.retrieval import CodeCursor, Snippet


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Closes a stream. `finish_reason` is stop, length, deadline or empty; `snippets_used`: those the prompt had room for."""

    model: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    untrusted: bool = False
    snippets_used: int = 0


class Generator(Protocol):
    """Writes from the context it is given. Streams text and closes with one Outcome; closing the stream stops the model.

    Both raise Unavailable (no model answers) and InvalidRequest. `seconds` is the time until the answer must be whole: the
    prompt is cut to what the model can read in it, and writing ends in time with finish_reason `deadline`.
    """

    def complete(
        self, cursor: CodeCursor, snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]: ...

    def chat(
        self, messages: Sequence[Message], snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]: ...
