"""The transformer on this machine: what is wrong with a model is told, and a child that dies or hangs is not felt for long."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from nearcode.adapters.onnx_embedder import OnnxEmbedder
from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.index import FileTexts
from nearcode.embedding.profiles import profile

from tests import models
from tests.servers import eventually

BGE = profile("bge-small-en-v1-5")
CODE = FileTexts(
    "src/files.py", tuple(f"def read_{number}(path):\n    return open(path).read({number})\n" for number in range(8))
)


@pytest.fixture
async def embedder(tmp_path: Path) -> AsyncIterator[OnnxEmbedder]:
    made = OnnxEmbedder(BGE, models.bge_small(), tmp_path / "log")
    yield made
    pids = made.pids
    await made.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(models.bge_small(), tmp_path / "model"))


async def refused(embedder: OnnxEmbedder) -> InvalidRequest:
    """What both doors say; the child has not to be started again for another try."""
    with pytest.raises(InvalidRequest) as of_files:
        await embedder.embed_files([CODE])
    with pytest.raises(InvalidRequest) as of_query:
        await embedder.embed_query("read a file", {})
    await embedder.close()
    assert str(of_files.value) == str(of_query.value)
    return of_files.value


async def test_without_weights_the_user_is_told_how_to_get_them(tmp_path: Path) -> None:
    error = await refused(OnnxEmbedder(BGE, tmp_path / "nothing"))
    assert error.reason is Reason.MODEL_MISSING
    assert "nearcode models pull bge-small-en-v1-5" in str(error) and "model.onnx" in str(error)


async def test_a_model_file_that_was_cut_off_is_named(copied: Path, tmp_path: Path) -> None:
    os.truncate(copied / "model.onnx", 1_000_000)
    error = await refused(OnnxEmbedder(BGE, copied, tmp_path / "log"))
    assert error.reason is Reason.MODEL_MISSING
    assert str(copied) in str(error) and "model.onnx" in str(error) and "models pull" in str(error)


async def test_a_tokenizer_that_is_none_is_named(copied: Path, tmp_path: Path) -> None:
    (copied / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" in str(await refused(OnnxEmbedder(BGE, copied, tmp_path / "log")))


async def test_a_model_of_another_dimension_gives_no_vector(tmp_path: Path) -> None:
    wider = replace(BGE, name="wider", dimensions=768)
    error = await refused(OnnxEmbedder(wider, models.bge_small(), tmp_path / "log"))
    assert error.reason is Reason.INVALID_SETTING
    assert "384" in str(error) and "768" in str(error) and "wider" in str(error)


async def test_a_pooling_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    error = await refused(OnnxEmbedder(replace(BGE, pooling="max"), models.bge_small()))
    assert error.reason is Reason.INVALID_SETTING and "cls, mean, last" in str(error)


async def test_a_model_that_answers_no_numbers_gives_no_vector(copied: Path, tmp_path: Path) -> None:
    spoil(copied / "model.onnx")
    made = OnnxEmbedder(BGE, copied, tmp_path / "log")
    with pytest.raises(Unavailable, match=r"length nan; nothing was stored.*models pull") as failure:
        await made.embed_files([CODE])
    assert failure.value.reason is Reason.EMBEDDER_UNAVAILABLE
    await made.close()


def spoil(model: Path) -> None:
    """Overwrites the 384 floats of one layer's bias with what is not a number."""
    data = bytearray(model.read_bytes())
    head = b"embeddings.LayerNorm.bias\x4a\x80\x0c"  # the tensor's name, then field 9 of 1,536 bytes
    at = data.index(head) + len(head)
    data[at : at + 1536] = b"\xff" * 1536
    model.write_bytes(data)


async def test_a_text_has_the_same_bytes_whatever_is_embedded_with_it(embedder: OnnxEmbedder) -> None:
    [together] = await embedder.embed_files([CODE])
    for text, vector in zip(CODE.texts, together, strict=True):
        [alone] = await embedder.embed_files([FileTexts("other.py", (text,))])
        assert alone.tobytes() == vector.tobytes()


async def test_a_child_that_is_killed_is_not_noticed(embedder: OnnxEmbedder) -> None:
    before = await embedder.embed_query("read a file", {})
    os.kill(embedder.pids[0], signal.SIGKILL)
    np.testing.assert_array_equal(before, await embedder.embed_query("read a file", {}))


async def test_a_child_that_hangs_is_replaced(tmp_path: Path) -> None:
    made = OnnxEmbedder(BGE, models.bge_small(), tmp_path / "log", kill_after=5.0)

    async def answers() -> bool:
        try:
            return (await made.embed_query("read a file", {})).shape == (384,)
        except Unavailable as error:  # on a busy machine loading may take longer, too
            return error.reason is not Reason.EMBEDDER_UNAVAILABLE

    await eventually(answers, 60.0, "the model does not load")
    [hung] = made.pids
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="started again"):
        await made.embed_query("read a file", {})
    await eventually(answers, 60.0, "the child was not replaced")
    assert made.pids != (hung,)
    await made.close()


async def test_a_caller_who_gives_up_does_not_end_the_child(embedder: OnnxEmbedder) -> None:
    await embedder.load()
    [pid] = embedder.pids
    asking = asyncio.create_task(embedder.embed_files([CODE]))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await embedder.embed_query("read a file", {})
    assert embedder.pids == (pid,)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the priority")
async def test_indexing_in_the_background_has_the_lowest_priority_and_questions_have_not(tmp_path: Path) -> None:
    made = OnnxEmbedder(BGE, models.bge_small(), tmp_path / "log", idle=True)
    await made.embed_files([CODE])
    await made.embed_query("read a file", {})
    background, questions = made.pids
    threads = [thread.id for thread in psutil.Process(background).threads()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}
    assert os.sched_getscheduler(questions) == os.SCHED_OTHER
    assert psutil.Process(background).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    await made.close()


async def test_indexing_stops_while_it_is_paused_and_goes_on_afterwards(tmp_path: Path) -> None:
    made = OnnxEmbedder(BGE, models.bge_small(), tmp_path / "log", idle=True)
    await made.load()
    child = psutil.Process(made.pids[0])
    many = [FileTexts(f"{number}.py", CODE.texts) for number in range(2)]
    with made.paused():
        indexing = asyncio.create_task(made.embed_files(many))
        assert (await made.embed_query("read a file", {})).shape == (384,)
        spent = child.cpu_times()
        assert (await made.embed_query("write a file", {})).shape == (384,)
        assert child.cpu_times()[:2] == spent[:2] and not indexing.done()

    async def done() -> bool:
        return indexing.done()

    await eventually(done, 200.0, "indexing does not go on")
    assert [len(vectors) for vectors in indexing.result()] == [8] * 2
    await made.close()
