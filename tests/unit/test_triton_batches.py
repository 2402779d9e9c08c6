"""How texts become batches for Triton, and how many batches go there at once."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.adapters.triton_batches import Batches, Vectors
from nearcode.adapters.triton_limit import InFlightLimit
from nearcode.adapters.triton_waiting import WaitingText, WaitingTexts

from tests.servers import eventually

LISTS = st.lists(st.lists(st.integers(0, 300), max_size=20), max_size=6)


def waiting(lists: Sequence[Sequence[int]]) -> WaitingTexts[int]:
    texts: WaitingTexts[int] = WaitingTexts()
    for caller, lengths in enumerate(lists):
        texts.add(WaitingText(b"x" * length, caller, position, 0.0) for position, length in enumerate(lengths))
    return texts


def drain(texts: WaitingTexts[int], most: int) -> list[list[WaitingText[int]]]:
    batches = []
    while batch := texts.take(most):
        batches.append(batch)
    return batches


@given(LISTS, st.integers(1, 8))
def test_each_text_is_in_one_batch_and_no_batch_is_too_large(lists: list[list[int]], most: int) -> None:
    batches = drain(waiting(lists), most)
    assert all(len(batch) <= most for batch in batches)
    found = sorted((text.caller, text.position) for batch in batches for text in batch)
    assert found == [(caller, position) for caller, lengths in enumerate(lists) for position in range(len(lengths))]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.integers(1, 8))
def test_the_batches_of_one_caller_are_sorted_by_length_and_full_but_the_last(lengths: list[int], most: int) -> None:
    batches = drain(waiting([lengths]), most)
    assert [len(text.text) for batch in batches for text in batch] == sorted(lengths, reverse=True)
    assert [len(batch) for batch in batches[:-1]] == [most] * (len(batches) - 1)


@given(LISTS, LISTS, st.integers(1, 8))
def test_the_oldest_text_is_in_the_next_batch_whatever_comes_later(
    early: list[list[int]], late: list[list[int]], most: int
) -> None:
    texts = waiting(early)
    rounds = sum(map(len, early))
    texts.add(WaitingText(b"x" * length, -1, 0, 0.0) for lengths in late for length in lengths)
    taken = [text for _ in range(rounds) for text in texts.take(most)]
    assert sum(text.caller >= 0 for text in taken) == rounds


@given(LISTS, st.integers(0, 5), st.integers(1, 8))
def test_texts_of_a_caller_that_left_are_never_sent(lists: list[list[int]], gone: int, most: int) -> None:
    texts = waiting(lists)
    texts.take(most)
    texts.drop(gone)
    assert all(text.caller != gone for batch in drain(texts, most) for text in batch)
    assert len(texts) == 0


@given(st.integers(1, 32), st.lists(st.one_of(st.floats(1e-6, 1e3), st.none()), max_size=100))
def test_the_limit_stays_between_one_and_the_most(most: int, happenings: list[float | None]) -> None:
    limit = InFlightLimit(most)
    for cost in happenings:
        limit.refused() if cost is None else limit.answered(cost)
        assert 1 <= int(limit) <= most


def test_the_limit_grows_while_answers_are_quick_and_halves_when_the_server_refuses() -> None:
    limit = InFlightLimit(16)
    for _ in range(190):
        limit.answered(1.0)
    assert int(limit) == 16
    limit.refused()
    assert int(limit) == 8


@pytest.mark.parametrize("instances", [1, 4])
def test_the_limit_settles_where_no_instance_is_idle_and_the_queue_is_short(instances: int) -> None:
    limit = InFlightLimit(64)
    for _ in range(1990):  # a request waits for those before it on its instance
        limit.answered(max(1.0, int(limit) / instances))
    assert instances < int(limit) <= 4 * instances


class Scripted:
    """Embeds to the texts' lengths; a text `wrong` fails, a text `never` takes forever."""

    def __init__(self) -> None:
        self.running = self.most_running = self.cancelled = 0
        self.batches: list[list[bytes]] = []

    async def send(self, texts: Sequence[bytes], waited: float) -> Vectors:
        self.batches.append(list(texts))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(3600 if b"never" in texts else 0.001)
            if b"wrong" in texts:
                raise ValueError("wrong")
            return np.array([[len(text)] for text in texts], np.float32)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def test_every_caller_gets_its_own_vectors_in_its_order() -> None:
    server = Scripted()
    batches = Batches(server.send, InFlightLimit(3))
    lists = [[b"x" * ((caller * 7 + number * 3) % 11) for number in range(caller * 4)] for caller in range(8)]
    answers = await asyncio.gather(*(batches.embed(texts, 1, 5) for texts in lists))
    for texts, vectors in zip(lists, answers, strict=True):
        assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert server.most_running <= 3 and batches.in_flight == batches.waiting == 0
    assert len(server.batches) < sum(-(-len(texts) // 5) for texts in lists), "texts of several callers went together"


async def test_a_failing_batch_fails_who_is_in_it_and_nobody_else() -> None:
    server = Scripted()
    batches = Batches(server.send, InFlightLimit(2))
    first = asyncio.create_task(batches.embed([b"wrong", b"fine"], 1, 2))
    second = asyncio.create_task(batches.embed([b"later", b"x" * 50], 1, 2))
    with pytest.raises(ValueError, match="wrong"):
        await first
    assert (await second).shape == (2, 1)


async def test_a_batch_is_cancelled_when_the_last_of_its_callers_leaves() -> None:
    server = Scripted()
    batches = Batches(server.send, InFlightLimit(1))
    blocking = asyncio.create_task(batches.embed([b"fine"], 1, 4))
    callers = [asyncio.create_task(batches.embed([b"never"], 1, 4)) for _ in range(2)]
    await blocking
    await eventually(lambda: _true(b"never" in server.batches[-1]), 5, "the second batch was not sent")
    callers[0].cancel()
    await asyncio.wait(callers[:1])
    assert server.cancelled == 0 and batches.in_flight == 1
    callers[1].cancel()
    await asyncio.wait(callers)
    await eventually(lambda: _true(server.cancelled == 1 and batches.in_flight == 0), 5, "the batch goes on")


async def _true(holds: bool) -> bool:
    return holds
