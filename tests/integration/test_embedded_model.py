"""The built-in language model: a child process that starts by itself, stops when told and takes nothing along when it dies."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from nearcode.adapters.embedded_model import EmbeddedModel
from nearcode.domain.completion import Outcome
from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.language_model import Finish, TextRequest
from nearcode.domain.retrieval import CodeCursor
from nearcode.generation.profiles import load_profiles
from nearcode.generation.service import Generation
from nearcode.generation.settings import GenerationSettings

from tests.servers import commands_below

LONG = TextRequest("# Numbers\n1\n2\n3\n4\n", 1500)
SHORT = TextRequest("def add(a, b):\n    return", 4)


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[EmbeddedModel]:
    embedded = EmbeddedModel(tmp_path / "model.log")
    yield embedded
    await embedded.close()


async def text_of(model: EmbeddedModel, request: TextRequest) -> str:
    return "".join([part async for part in model.complete(request) if isinstance(part, str)])


async def idle(pid: int) -> None:
    """Returns when the process computes nothing for a tenth of a second."""
    process, before = psutil.Process(pid), -1.0
    async with asyncio.timeout(5):
        while (now := sum(process.cpu_times()[:2])) != before:
            before = now
            await asyncio.sleep(0.1)


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_its_name_is_known_before_it_runs(model: EmbeddedModel) -> None:
    assert (await model.served()).name.startswith("SmolLM2-135M")
    assert await model.healthy()
    assert model.pid is None


async def test_closing_the_stream_stops_the_computing(model: EmbeddedModel) -> None:
    stream = model.complete(LONG)
    await anext(stream)
    assert model.pid
    await stream.aclose()
    await idle(model.pid)


async def test_cancelling_while_the_prompt_is_read_stops_the_computing(model: EmbeddedModel) -> None:
    await model.start()
    assert model.pid
    reading = asyncio.create_task(text_of(model, TextRequest("word " * 1700, 200)))
    process, before = psutil.Process(model.pid), sum(psutil.Process(model.pid).cpu_times()[:2])
    async with asyncio.timeout(10):
        while sum(process.cpu_times()[:2]) < before + 0.2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await idle(model.pid)


async def test_killed_while_it_writes_is_unavailable_and_the_next_call_works(model: EmbeddedModel) -> None:
    stream = model.complete(LONG)
    await anext(stream)
    first = model.pid
    assert first
    os.kill(first, signal.SIGKILL)
    with pytest.raises(Unavailable) as raised:
        async for _ in stream:
            pass
    assert raised.value.reason is Reason.GENERATOR_UNAVAILABLE
    assert await text_of(model, SHORT)
    assert model.pid != first


async def test_killed_while_nobody_asks_is_not_noticed_by_the_next_call(model: EmbeddedModel) -> None:
    await model.start()
    assert model.pid
    os.kill(model.pid, signal.SIGKILL)
    await gone(model.pid)
    assert await text_of(model, SHORT)


async def test_many_first_calls_start_one_child(model: EmbeddedModel) -> None:
    texts = await asyncio.gather(*(text_of(model, SHORT) for _ in range(4)))
    assert len(set(texts)) == 1
    assert sum("embedded_model_server" in command for command in commands_below(recursive=False)) == 1


async def test_typing_on_reads_only_what_is_new(model: EmbeddedModel) -> None:
    prompt = "".join(f"def step_{number}(order):\n    return order.total + {number}\n" for number in range(20))
    await text_of(model, TextRequest(prompt, 1))
    finish = [part async for part in model.complete(TextRequest(prompt + "\ndef next", 1)) if isinstance(part, Finish)]
    assert finish[0].cached_tokens > 0.9 * finish[0].prompt_tokens


async def test_nothing_of_a_prompt_is_logged(model: EmbeddedModel, tmp_path: Path) -> None:
    await text_of(model, TextRequest("password_of_the_bank = ", 8))
    await model.close()
    assert b"password_of_the_bank" not in (tmp_path / "model.log").read_bytes()


async def test_nobody_else_on_the_machine_may_ask_it(model: EmbeddedModel) -> None:
    import aiohttp

    await model.start()
    (connection,) = [c for c in psutil.Process(model.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert connection.laddr.ip == "127.0.0.1"
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{connection.laddr.port}/v1/completions"
        async with session.post(url, json={"prompt": "x", "max_tokens": 1}) as response:
            assert response.status == 401


async def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    model = EmbeddedModel(model_path=tmp_path / "none.gguf")
    with pytest.raises(Unavailable) as raised:
        await text_of(model, SHORT)
    assert raised.value.reason is Reason.MODEL_MISSING
    assert "none.gguf" in raised.value.message and "generation.url" in raised.value.message
    assert not await model.healthy()


async def test_file_that_is_no_model_says_what_to_do(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    model = EmbeddedModel(tmp_path / "log", model_path=broken)
    with pytest.raises(Unavailable) as raised:
        await text_of(model, SHORT)
    assert raised.value.reason is Reason.GENERATOR_UNAVAILABLE
    assert "generation.model_path" in raised.value.message
    assert model.pid is None
    await model.close()


async def test_it_dies_with_its_parent() -> None:
    program = (
        "import asyncio\n"
        "from nearcode.adapters.embedded_model import EmbeddedModel\n"
        "async def main():\n"
        "    model = EmbeddedModel()\n"
        "    await model.start()\n"
        "    print(model.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert parent.stdout
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await gone(child)


class DeadlineExceeded(Exception):
    """The one failure that a short time may have."""


async def explained(stream: AsyncGenerator[str | Outcome, None]) -> AsyncGenerator[str | Outcome, None]:
    try:
        async for part in stream:
            yield part
    except Unavailable as error:
        if error.reason is Reason.DEADLINE_EXCEEDED:
            raise DeadlineExceeded from error
        raise


@pytest.mark.parametrize("seconds", [0.15, 0.5, 1.5])
async def test_a_completion_keeps_its_deadline(model: EmbeddedModel, seconds: float) -> None:
    """Late starts of the child included: the caller gets an answer, or why not, in time."""
    generation = Generation(model, load_profiles(), GenerationSettings())
    code = "".join(f"def step_{number}(order):\n    return order.total + {number}\n\n\n" for number in range(60))
    for number in range(4):
        began = time.monotonic()
        cursor = CodeCursor(f"steps{number}.py", code[: 2000 + 300 * number], "")
        with suppress(DeadlineExceeded):
            parts = [part async for part in explained(generation.complete(cursor, [], 0, seconds))]
            assert isinstance(parts[-1], Outcome)
        assert time.monotonic() - began < seconds + 0.1
