"""A worker process may print, fail, hang, crash or be killed: its owner learns it, and the next call is answered."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from nearcode.runtime.child import Worker, WorkerDied, WorkerFailed

from tests.integration.rpc_world import eventually

MODULE = "tests.integration.child_worker"


@pytest.fixture(params=[1, 2], ids=["one at a time", "one ahead"])
async def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Worker]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    owner = Worker(MODULE, log=tmp_path / "logs" / "worker.log", ahead=request.param)
    yield owner
    pid = owner.pid
    await owner.close()
    assert owner.pid is None and (pid is None or not psutil.pid_exists(pid))


def children() -> set[int]:
    """Process ids of all children of this process, dead ones that nobody waited for included."""
    return {child.pid for child in psutil.Process().children()}


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**25])
async def test_what_is_sent_comes_back(worker: Worker, size: int) -> None:
    body = os.urandom(size)
    assert await worker.call(("echo", body)) == body


async def test_calls_at_once_take_turns_and_each_gets_its_own_answer(worker: Worker) -> None:
    answers = await asyncio.gather(*(worker.call(("echo", number)) for number in range(100)))
    assert answers == list(range(100))


async def test_starts_and_calls_at_once_make_one_process(worker: Worker) -> None:
    others = children()
    _, _, *pids = await asyncio.gather(worker.start(), worker.start(), *(worker.call(("pid", None)) for _ in range(3)))
    assert set(pids) == {worker.pid}
    assert children() - others == {worker.pid}


async def test_a_stray_print_does_not_disturb_the_answers(worker: Worker, tmp_path: Path) -> None:
    assert await worker.call(("print", "stray")) == "printed"
    assert await worker.call(("echo", 1)) == 1
    assert (tmp_path / "logs" / "worker.log").read_text() == "stray\nand past Python's buffer\n"


async def test_an_exception_is_told_and_the_worker_goes_on(worker: Worker, tmp_path: Path) -> None:
    pid = await worker.call(("pid", None))
    with pytest.raises(WorkerFailed, match=r"^ValueError: wrong$"):
        await worker.call(("fail", "wrong"))
    with pytest.raises(WorkerFailed, match="sealed"):
        await worker.call(("sealed", None))
    assert await worker.call(("pid", None)) == pid
    assert "child_worker.py" in (tmp_path / "logs" / "worker.log").read_text()


async def test_a_request_that_cannot_be_sent_does_not_end_the_worker(worker: Worker) -> None:
    pid = await worker.call(("pid", None))
    with pytest.raises((TypeError, AttributeError)):
        await worker.call(("echo", lambda: None))
    assert await worker.call(("pid", None)) == pid


async def test_a_late_call_kills_the_worker_and_the_next_one_starts_it_again(worker: Worker) -> None:
    pid = await worker.call(("pid", None))
    with pytest.raises(TimeoutError):
        await worker.call(("sleep", 3600), timeout=0.05)
    assert not psutil.pid_exists(pid)
    assert await worker.call(("echo", "fresh")) == "fresh"


async def test_a_cancelled_call_never_leaves_its_answer_to_the_next(worker: Worker) -> None:
    await worker.start()
    for pause in (0.0, 0.001, 0.01, 0.05):
        task = asyncio.create_task(worker.call(("zeros", 2**26)))
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(worker.call(("echo", pause)), 20) == pause


async def test_a_call_that_waits_for_its_turn_can_be_cancelled_without_harm(worker: Worker) -> None:
    first = asyncio.create_task(worker.call(("sleep", 0.1)))
    ahead = [asyncio.create_task(worker.call(("echo", 1))) for _ in range(worker.ahead - 1)]
    second = asyncio.create_task(worker.call(("echo", 2)))
    await asyncio.sleep(0.01)
    second.cancel()
    assert await first is None
    assert await asyncio.gather(*ahead) == [1] * len(ahead)
    assert worker.pid is not None


@pytest.mark.parametrize("end", ["cancel", "crash", "late"])
async def test_a_request_that_was_sent_ahead_dies_with_the_child_and_never_gets_the_others_answer(
    worker: Worker, end: str
) -> None:
    for size in (0, 2**26):
        await worker.start()
        first = {"cancel": ("zeros", size), "crash": ("exit", None), "late": ("sleep", 3600)}[end]
        front = asyncio.create_task(worker.call(first, timeout=0.05 if end == "late" else None))
        behind = asyncio.create_task(worker.call(("echo", "mine")))
        await asyncio.sleep(0.0 if size else 0.01)
        if end == "cancel":
            front.cancel()
        answers = await asyncio.gather(front, behind, return_exceptions=True)
        assert isinstance(answers[1], WorkerDied) or answers[1] == "mine"
        again = await asyncio.gather(*(worker.call(("echo", number)) for number in range(10)))
        assert again == list(range(10))


@pytest.mark.parametrize(("how", "told"), [("exit", "7"), ("crash", f"-{signal.SIGSEGV.value}")])
async def test_a_crash_is_told_with_its_code_and_costs_one_call(worker: Worker, how: str, told: str) -> None:
    with pytest.raises(WorkerDied, match=f"{MODULE} ended with {told}"):
        await worker.call((how, None))
    assert await worker.call(("echo", 1)) == 1


async def test_a_worker_that_is_killed_between_calls_is_started_again(worker: Worker) -> None:
    pid = await worker.call(("pid", None))
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: worker.pid is None)
    assert await worker.call(("pid", None)) != pid


async def test_the_current_folder_lends_a_worker_no_modules(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('code of a hostile repository ran')")
    monkeypatch.chdir(tmp_path)
    assert await worker.call(("folder", None)) == []


async def test_the_terminals_ctrl_c_is_not_the_workers(worker: Worker) -> None:
    assert await worker.call(("session", None)) is True
    pid = await worker.call(("pid", None))
    os.kill(pid, signal.SIGINT)
    assert await worker.call(("pid", None)) == pid


async def test_closing_waits_for_the_running_call(worker: Worker) -> None:
    running = asyncio.create_task(worker.call(("sleep", 0.1)))
    await eventually(lambda: worker.pid is not None)
    await worker.close()
    assert await running is None


async def test_closing_does_not_wait_for_ever(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearcode.runtime.child.CLOSE_SECONDS", 0.1)
    running = asyncio.create_task(worker.call(("sleep", 3600)))
    await eventually(lambda: worker.pid is not None)
    await worker.close()
    with pytest.raises(WorkerDied):
        await running


async def test_closing_twice_at_once_or_before_a_start_is_harmless_and_final(worker: Worker) -> None:
    await worker.start()
    await asyncio.gather(worker.close(), worker.close())
    await worker.close()
    await Worker(MODULE).close()
    with pytest.raises(WorkerDied, match="closed"):
        await worker.call(("echo", 1))


async def test_no_zombies_and_no_open_files_are_left_by_many_lives(worker: Worker) -> None:
    others = children()
    await worker.call(("echo", 0))
    before = psutil.Process().num_fds()
    for _ in range(10):
        with pytest.raises(WorkerDied):
            await worker.call(("exit", None))
    await worker.call(("echo", 0))
    assert psutil.Process().num_fds() <= before + 1
    assert children() - others == {worker.pid}
