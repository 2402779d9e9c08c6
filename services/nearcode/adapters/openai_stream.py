"""Server-sent events of the OpenAI API, as vLLM, Ollama and llama.cpp write them."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any

from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.language_model import Finish


async def read_parts(lines: AsyncIterable[bytes]) -> AsyncGenerator[str | Finish, None]:
    """Text as it comes, then one Finish. Raises Unavailable when the stream ends before its answer does."""
    finish: Finish | None = None
    async for line in lines:
        event = _event(line)
        if event is None:
            continue
        if event is _DONE:
            break
        for choice in event.get("choices") or ():
            text = _text(choice)
            if text:
                yield text
            if choice.get("finish_reason"):
                finish = Finish("length" if choice["finish_reason"] == "length" else "stop")
        if finish:  # usage comes with the last choice (llama.cpp) or after it, without a choice (vLLM, Ollama)
            finish = _counted(finish, event)
    if finish is None:
        raise Unavailable("the model server stopped in the middle of its answer", Reason.GENERATOR_UNAVAILABLE)
    yield finish


_DONE: dict[str, Any] = {}


def _event(line: bytes) -> dict[str, Any] | None:
    """The JSON of a data line, `_DONE`, or None for comments, pings and blank lines."""
    field, _, value = line.strip().partition(b":")
    if field == b"error":
        raise _failed()
    if field != b"data":
        return None
    value = value.strip()
    if value == b"[DONE]":
        return _DONE
    try:
        event = json.loads(value)
    except ValueError as error:
        raise Unavailable("the model server's answer is not JSON", Reason.GENERATOR_UNAVAILABLE) from error
    if not isinstance(event, dict) or event.get("error") or event.get("object") == "error":
        raise _failed()
    return event


def _failed() -> Unavailable:
    return Unavailable("the model server failed while it answered; look at its log", Reason.GENERATOR_UNAVAILABLE)


def _text(choice: Mapping[str, Any]) -> str:
    """Completions carry `text`, chats `delta.content`; both may be null."""
    delta = choice.get("delta")
    return (delta.get("content") if isinstance(delta, dict) else choice.get("text")) or ""


def _counted(finish: Finish, event: Mapping[str, Any]) -> Finish:
    usage = event.get("usage") or {}
    timings = event.get("timings") or {}
    details = usage.get("prompt_tokens_details") or {}
    cached = timings.get("cache_n", details.get("cached_tokens") or 0)
    return Finish(
        finish.reason,
        prompt_tokens=usage.get("prompt_tokens")
        or timings.get("prompt_n", 0) + timings.get("cache_n", 0)
        or finish.prompt_tokens,
        completion_tokens=usage.get("completion_tokens") or timings.get("predicted_n", 0) or finish.completion_tokens,
        cached_tokens=cached or finish.cached_tokens,
    )
