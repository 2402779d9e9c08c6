"""A transformer on a Triton server, and what happens when something is wrong with either. The server is a real one."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nearcode.adapters.triton_embedder import SentBatch, TritonEmbedder
from nearcode.adapters.triton_tensors import texts_tensor
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.domain.index import FileTexts, ModelProfile
from tritonclient.grpc.aio import InferenceServerClient

from tests.servers import Server, eventually
from tests.triton_models import scripted_embedder
from tests.triton_server import triton_server

PROFILE = ModelProfile("scripted-384", 384)
SECRET = "password_of_the_bank"
PLAIN = FileTexts("a.py", ("def a(): pass", "def b(): pass"))


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Models: `scripted`, `small` (128 dimensions), `crowded` (a queue of one), `passing` (which a test unloads)."""
    repository = scripted_embedder(tmp_path_factory.mktemp("models"))
    scripted_embedder(repository, "small", dimensions=128)
    scripted_embedder(repository, "crowded", queue=1)
    scripted_embedder(repository, "passing")
    with triton_server(tmp_path_factory.mktemp("triton"), repository, explicit=True) as server:
        yield server


@asynccontextmanager
async def embedder_of(server: Server, model: str = "scripted", **options: Any) -> AsyncIterator[TritonEmbedder]:
    embedder = TritonEmbedder(PROFILE, address(server), model, **{"seconds": 20.0, **options})
    try:
        yield embedder
    finally:
        await embedder.close()


def address(server: Server) -> str:
    return f"grpc://127.0.0.1:{server.ports['grpc']}"


@asynccontextmanager
async def operator(server: Server) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(f"127.0.0.1:{server.ports['grpc']}") as client:
        yield client


async def failure(embedder: TritonEmbedder, *texts: str) -> NearcodeError:
    with pytest.raises(NearcodeError) as raised:
        await embedder.embed_files([FileTexts("a.py", texts)])
    assert SECRET not in raised.value.message
    return raised.value


async def test_texts_of_several_files_travel_together(triton: Server) -> None:
    sent: list[SentBatch] = []
    async with embedder_of(triton, observe=sent.append) as embedder:
        files = [FileTexts(f"{number}.py", tuple("x" * number for _ in range(number))) for number in range(8)]
        vectors = await embedder.embed_files(files)
    assert [array.shape for array in vectors] == [(number, 384) for number in range(8)]
    assert sum(batch.texts for batch in sent) == 28
    assert len(sent) == 4, "28 texts fit into four batches of at most 8"


async def test_texts_of_concurrent_callers_travel_together(triton: Server) -> None:
    sent: list[SentBatch] = []
    async with embedder_of(triton, observe=sent.append, in_flight=1) as embedder:
        await embedder.embed_files([PLAIN])
        sent.clear()
        await asyncio.gather(*(embedder.embed_files([FileTexts("a.py", ("one", "two", "slow"))]) for _ in range(8)))
    assert sum(batch.texts for batch in sent) == 24
    assert len(sent) <= 5, "the first caller goes alone, the others wait and go together"


async def test_a_question_does_not_wait_behind_files(triton: Server) -> None:
    async with embedder_of(triton) as embedder:
        await embedder.open()
        files = asyncio.create_task(embedder.embed_files([FileTexts("a.py", ("slow",) * 400)]))  # 50 batches, 5 seconds
        await eventually(lambda: _true(embedder.in_flight > 1), 5, "no batch was sent")
        began = time.monotonic()
        await embedder.embed_query("where is it", {})
        assert time.monotonic() - began < 1.0
        assert not files.done()
        files.cancel()


async def test_a_model_of_the_wrong_dimension_is_refused_before_any_vector(triton: Server) -> None:
    async with embedder_of(triton, "small") as embedder:
        with pytest.raises(InvalidRequest, match=r"128 dimensions.*scripted-384 has 384.*embedding\.chat\.profile") as raised:
            await embedder.open()
        assert raised.value.reason is Reason.INVALID_SETTING
        assert isinstance(await failure(embedder, "def a(): pass"), InvalidRequest)
        assert not await embedder.healthy()


async def test_a_model_that_is_not_served_is_named_with_the_setting(triton: Server) -> None:
    async with embedder_of(triton, "unheard-of") as embedder:
        with pytest.raises(Unavailable, match=r"does not serve the model unheard-of.*embedding\.chat\.model"):
            await embedder.open()


async def test_a_model_that_vanishes_is_named_and_used_again_when_it_is_back(triton: Server) -> None:
    async with embedder_of(triton, "passing") as embedder, operator(triton) as client:
        await embedder.embed_files([PLAIN])
        await client.unload_model("passing")
        await eventually(lambda: _not(client.is_model_ready("passing")), 10, "the model is still there")
        error = await failure(embedder, "def a(): pass")
        assert isinstance(error, Unavailable) and error.reason is Reason.EMBEDDER_UNAVAILABLE
        assert "does not serve the model passing" in error.message and "load it there" in error.message
        assert not await embedder.healthy()
        await client.load_model("passing")
        assert (await embedder.embed_files([PLAIN]))[0].shape == (2, 384)
        assert await embedder.healthy()


async def test_a_text_without_a_finite_vector_fails_no_other(triton: Server) -> None:
    async with embedder_of(triton) as embedder:
        bad, good = await embedder.embed_files([FileTexts("bad.py", ("a", "nan")), FileTexts("good.py", ("b",))])
        assert np.isfinite(good).all() and np.isfinite(bad[0]).all() and not np.isfinite(bad[1]).any()
        with pytest.raises(Unavailable, match="not finite"):
            await embedder.embed_query("nan", {})


async def test_a_model_that_fails_does_not_quote_code(triton: Server) -> None:
    async with embedder_of(triton) as embedder:
        error = await failure(embedder, f"fail {SECRET}")
        assert isinstance(error, Unavailable) and "look at Triton's log" in error.message


async def test_a_model_that_hangs_costs_the_deadline_and_no_more(triton: Server) -> None:
    async with embedder_of(triton, seconds=1.0) as embedder:
        await embedder.open()
        began = time.monotonic()
        error = await failure(embedder, "hang")
        assert 0.9 < time.monotonic() - began < 2.0
        assert isinstance(error, Unavailable) and "does not answer in time" in error.message
    async with embedder_of(triton) as embedder:  # the server was told, so the hanging request ended
        await asyncio.wait_for(embedder.embed_files([PLAIN]), 10)


async def test_a_caller_that_gives_up_cancels_its_request_on_the_server(triton: Server) -> None:
    before = triton.log.read_text().count("a hanging request was cancelled")
    async with embedder_of(triton) as embedder:
        await embedder.open()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(embedder.embed_files([FileTexts("a.py", ("hang",))]), 0.5)
        told = lambda: _true(triton.log.read_text().count("a hanging request was cancelled") > before)  # noqa: E731
        await eventually(told, 10, "the server did not hear of it")
        assert embedder.in_flight == 0
        await asyncio.wait_for(embedder.embed_files([PLAIN]), 10)


async def test_a_full_queue_is_tried_again_until_there_is_room(triton: Server) -> None:
    sent: list[SentBatch] = []
    async with embedder_of(triton, "crowded", observe=sent.append, batch=1) as embedder:
        others = [TritonEmbedder(PROFILE, address(triton), "crowded", batch=1) for _ in range(3)]
        slow = FileTexts("a.py", ("slow",) * 5)
        await asyncio.gather(embedder.embed_files([slow]), *(other.embed_files([slow]) for other in others))
        for other in others:
            await other.close()
    assert sum(batch.texts for batch in sent) == 5


async def test_a_queue_that_stays_full_is_told_at_the_deadline(triton: Server) -> None:
    async with embedder_of(triton, "crowded", seconds=1.0) as embedder, operator(triton) as client:
        await embedder.open()
        hanging: list[asyncio.Task[object]] = []
        while len(hanging) < 2:  # one is worked on, one waits
            asked = asyncio.create_task(client.infer("crowded", [texts_tensor("TEXT", [b"hang"])]))
            refused, _ = await asyncio.wait([asked], timeout=0.3)
            if refused:
                asked.exception()
            else:
                hanging.append(asked)
        began = time.monotonic()
        error = await failure(embedder, "def a(): pass")
        assert time.monotonic() - began < 2.0
        assert isinstance(error, Unavailable) and error.reason is Reason.OVERLOADED
        assert "the queue of the model crowded" in error.message
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_black_hole_costs_the_deadline(triton: Server) -> None:
    async with embedder_of(triton, seconds=1.0) as embedder:
        await embedder.open()
        triton.pause()
        try:
            began = time.monotonic()
            error = await failure(embedder, "def a(): pass")
            assert time.monotonic() - began < 2.0
            assert isinstance(error, Unavailable) and "does not answer in time" in error.message
        finally:
            triton.resume()
        assert await embedder.embed_files([PLAIN])


async def test_no_server_names_the_setting(tmp_path: Path) -> None:
    embedder = TritonEmbedder(PROFILE, "grpc://127.0.0.1:9", "scripted", seconds=0.5)
    with pytest.raises(Unavailable, match=r"no Triton server answers at .*embedding\.chat\.url"):
        await embedder.open()
    await embedder.close()
    with pytest.raises(InvalidRequest, match="grpc://HOST:PORT"):
        await TritonEmbedder(PROFILE, "http://127.0.0.1:9", "scripted").open()


async def test_a_server_that_starts_again_is_used_again_and_nobody_notices(triton: Server) -> None:
    async with embedder_of(triton) as embedder:
        await embedder.open()
        files = asyncio.create_task(embedder.embed_files([FileTexts("a.py", ("slow",) * 80)]))  # one second
        await eventually(lambda: _true(embedder.in_flight > 0), 5, "no batch was sent")
        triton.kill()
        triton.start()  # in this thread: the server ends with the one that started it
        [array] = await files
        assert np.isfinite(array).all()


async def _true(holds: bool) -> bool:
    return holds


async def _not(asked: Any) -> bool:
    return not await asked
