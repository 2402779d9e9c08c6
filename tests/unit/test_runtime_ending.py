"""What goes on for ever ends when it is told to."""

import asyncio

import pytest
from nearcode.runtime import ending
from nearcode.runtime.ending import end


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.05)


async def test_a_loop_ends_though_an_answer_comes_with_its_end() -> None:
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def follow() -> None:
        while True:
            await asyncio.wait_for(answer, 60)  # before Python 3.12 this returns the answer and forgets the cancellation
            await asyncio.sleep(3600)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.01)
    answer.set_result(None)
    await asyncio.wait_for(end([following]), 5)
    assert following.done()


async def test_a_loop_that_lost_a_cancellation_ends_and_what_others_ended_with_is_nobodys_trouble() -> None:
    lost: list[bool] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(True)

    async def broken() -> None:
        raise KeyError("bug")

    tasks = [asyncio.create_task(work()) for work in (deaf, broken)]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(tasks), 5)
    assert [task.done() for task in tasks] == [True, True] and lost
    await end([])
