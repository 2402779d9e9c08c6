"""Completion and chat over a model: in time, stopped when nobody listens, honest about small models."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from nearcode.domain.completion import Message, Outcome
from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.language_model import ChatRequest, TextRequest
from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.generation.pacing import paced
from nearcode.generation.profiles import load_profiles
from nearcode.generation.service import Generation
from nearcode.generation.settings import GenerationSettings

from tests.unit.scripted_model import ScriptedModel

CURSOR = CodeCursor("shop/cart.py", "class Cart:\n    def total(self):\n        return ", "\n")
PRICE = Snippet("r1", "shop/price.py", "b", 3, 5, 0.9, "def net(price):\n    return price / 1.2\n", definitions=("net",))
QUESTION = [Message("user", "How is the net price calculated?")]


def generation(model: ScriptedModel, **settings: object) -> Generation:
    return Generation(model, load_profiles(), GenerationSettings.model_validate(settings))


async def collect(stream: AsyncGenerator[str | Outcome, None]) -> tuple[str, Outcome]:
    parts = [part async for part in stream]
    assert isinstance(parts[-1], Outcome)
    assert all(isinstance(part, str) for part in parts[:-1])
    return "".join(part for part in parts if isinstance(part, str)), parts[-1]


async def test_completion_ends_with_the_line_and_names_its_model() -> None:
    model = ScriptedModel([["sum(", "item.price", ")", "\n", "def next"]])
    text, outcome = await collect(generation(model).complete(CURSOR, [PRICE], 0, 3.0))
    assert text == "sum(item.price)"
    assert (outcome.model, outcome.finish_reason, outcome.untrusted) == ("qwen2.5-coder-7b", "stop", False)
    assert outcome.snippets_used == 1
    assert model.closed == 1, "the model is stopped once the line is whole"


async def test_answer_is_whole_when_the_time_is_over() -> None:
    model = ScriptedModel([["a + "] * 100], between=0.02)
    began = time.monotonic()
    text, outcome = await collect(generation(model).complete(CURSOR, [], 0, 0.3))
    assert time.monotonic() - began < 0.3
    assert text and outcome.finish_reason in ("deadline", "stop")
    assert model.closed == 1


async def test_slow_model_answers_nothing_but_in_time() -> None:
    model = ScriptedModel([["late"]], before=5.0)
    began = time.monotonic()
    text, outcome = await collect(generation(model).complete(CURSOR, [], 0, 0.2))
    assert time.monotonic() - began < 0.2
    assert (text, outcome.finish_reason, model.closed) == ("", "deadline", 1)


async def test_no_time_is_refused_at_once() -> None:
    model = ScriptedModel([["x"]])
    with pytest.raises(Unavailable) as raised:
        await collect(generation(model).complete(CURSOR, [], 0, 0.01))
    assert raised.value.reason is Reason.DEADLINE_EXCEEDED
    assert model.asked == []


async def test_what_cannot_be_read_in_time_is_not_begun() -> None:
    model = ScriptedModel([["x"]], name="smollm2")
    with pytest.raises(Unavailable) as raised:
        await collect(generation(model).complete(CURSOR, [], 0, 0.1))
    assert raised.value.reason is Reason.DEADLINE_EXCEEDED
    assert model.asked == []


async def test_less_time_means_a_shorter_prompt() -> None:
    model = ScriptedModel([["x"]], name="smollm2")
    long = CodeCursor("a.py", "value = compute(value)\n" * 400, "")
    for seconds in (3.0, 1.0):
        await collect(Generation(model, load_profiles(), GenerationSettings()).complete(long, [], 0, seconds))
    first, second = (request.prompt for request in model.asked if isinstance(request, TextRequest))
    assert len(second) < len(first) / 2


async def test_model_that_says_nothing_is_asked_once_more_differently() -> None:
    model = ScriptedModel([[""], ["self.sum"]], name="smollm2")
    cursor = CodeCursor("a.py", "def total(self):", "")
    text, outcome = await collect(generation(model).complete(cursor, [PRICE], 0, 3.0))
    assert text == "\n    self.sum"
    assert outcome.finish_reason == "stop"
    assert len(model.asked) == 2


async def test_model_that_has_nothing_to_say_is_believed_in_the_end() -> None:
    model = ScriptedModel([[""]])
    text, outcome = await collect(generation(model).complete(CURSOR, [], 0, 3.0))
    assert (text, outcome.finish_reason) == ("", "empty")
    assert len(model.asked) <= 3


async def test_closing_the_stream_stops_the_model() -> None:
    model = ScriptedModel([["a", ", b"] * 50], between=0.01)
    stream = generation(model).complete(CURSOR, [], 0, 5.0)
    assert isinstance(await anext(stream), str)
    await stream.aclose()
    said = model.said
    await asyncio.sleep(0)
    assert (model.closed, model.said) == (1, said)


async def test_cancelled_caller_stops_the_model() -> None:
    model = ScriptedModel([["late"]], before=10.0)
    task = asyncio.create_task(collect(generation(model).complete(CURSOR, [], 0, 9.0)))
    while not model.asked:  # noqa: ASYNC110 - the double has no event to wait for
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.closed == 1


async def test_small_model_does_not_chat_the_code_answers() -> None:
    model = ScriptedModel([["lies"]], name="SmolLM2-135M-Instruct.Q4_1")
    text, outcome = await collect(generation(model).chat(QUESTION, [PRICE], 0, 3.0))
    assert "[1] shop/price.py:3 net" in text
    assert "return price / 1.2" in text
    assert "SmolLM2-135M-Instruct.Q4_1 is too small to be trusted" in text
    assert "generation.url" in text and "NEARCODE_GENERATION__MODEL" in text
    assert (outcome.untrusted, outcome.snippets_used, model.asked) == (True, 1, [])


async def test_small_model_says_so_when_no_code_was_found() -> None:
    text, outcome = await collect(generation(ScriptedModel([[]], name="smollm2")).chat(QUESTION, [], 0, 3.0))
    assert text.startswith("No code was found")
    assert outcome.snippets_used == 0


async def test_trusted_model_answers_in_its_own_words_from_the_code() -> None:
    model = ScriptedModel([["It divides", " by 1.2 [1].", "\n\nMore."]])
    text, outcome = await collect(generation(model).chat(QUESTION, [PRICE], 0, 3.0))
    assert text == "It divides by 1.2 [1].\n\nMore."
    assert (outcome.untrusted, outcome.snippets_used) == (False, 1)
    (request,) = model.asked
    assert isinstance(request, ChatRequest)
    assert "return price / 1.2" in request.messages[-1].content


async def test_chat_without_a_question_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        await collect(generation(ScriptedModel([[]])).chat([], [], 0, 3.0))


async def test_unknown_profile_is_named_in_the_error() -> None:
    with pytest.raises(InvalidRequest, match=r"generation\.profile 'nope'"):
        await collect(generation(ScriptedModel([[]]), profile="nope").complete(CURSOR, [], 0, 3.0))


async def test_caller_may_ask_for_fewer_tokens_never_for_more() -> None:
    model = ScriptedModel([["x"]])
    service = generation(model, max_tokens=40)
    await collect(service.complete(CURSOR, [], 7, 3.0))
    await collect(service.complete(CURSOR, [], 9999, 3.0))
    assert [request.max_tokens for request in model.asked] == [7, 40]


async def test_first_piece_comes_at_once_and_the_rest_together() -> None:
    async def letters() -> AsyncGenerator[str, None]:
        for letter in "abcdefghij":
            yield letter
            await asyncio.sleep(0)

    texts = [text async for text in paced(letters(), time.monotonic() + 5, time.monotonic)]
    assert texts[0] == "a"
    assert "".join(texts) == "abcdefghij"
    assert len(texts) <= 3


async def test_lines_are_not_held_back() -> None:
    async def lines() -> AsyncGenerator[str, None]:
        yield "a\n"
        yield "b\n"
        yield "c"

    assert [text async for text in paced(lines(), time.monotonic() + 5, time.monotonic)] == ["a\n", "b\n", "c"]
