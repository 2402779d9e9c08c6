"""Calls between services: deadlines, cancellation, sizes, who may call and what is told of failures."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import pytest
from nearcode.api.generation.v1 import generation_pb2
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unauthenticated, Unavailable
from nearcode.runtime.channel import READS, Client, connect
from nearcode.runtime.handler import snake_case

from tests.integration.rpc_world import RETRIEVAL, eventually, failure, world

ASK = f"/{RETRIEVAL.full_name}/Retrieve"


async def test_the_callers_deadline_reaches_the_service() -> None:
    async with world() as here:
        await here.ask(seconds=2.0)
        assert here.finder.calls[0].user == "ada"
        assert 1.5 < here.finder.calls[0].seconds <= 2.01


async def test_a_deadline_beyond_the_methods_own_is_cut_and_a_missing_one_is_added() -> None:
    async with world(seconds=3.0) as here:
        await here.ask(seconds=100.0)
        call = here.channel.connection.unary_unary(ASK)
        await call(b"", metadata=[("authorization", "Bearer ada")])
        assert [call.seconds for call in here.finder.calls] == [3.0, 3.0]


async def test_a_call_ends_at_the_methods_own_limit() -> None:
    async with world(seconds=0.05) as here:
        error = await failure(here.ask("wait", seconds=60.0))
        assert isinstance(error, Unavailable) and error.reason is Reason.DEADLINE_EXCEEDED
        assert here.finder.running == 0


async def test_a_call_ends_at_the_callers_deadline_on_both_sides() -> None:
    async with world() as here:
        error = await failure(here.ask("wait", seconds=0.1))
        assert error.reason is Reason.DEADLINE_EXCEEDED
        await eventually(lambda: here.finder.running == 0)
        await eventually(lambda: [code for _, code, _ in here.observed] == ["DEADLINE_EXCEEDED"])


async def test_cancelling_the_caller_cancels_the_work() -> None:
    async with world() as here:
        task = asyncio.create_task(here.ask("wait"))
        await eventually(lambda: here.finder.running == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: here.finder.running == 0)
        assert here.observed[0][1] == "CANCELLED"


async def test_closing_a_stream_stops_the_writer() -> None:
    async with world() as here:
        async with aclosing(here.write()) as texts:
            async for _ in texts:
                if here.writer.written > 5:
                    break
        await eventually(lambda: here.writer.running == 0)


async def test_a_hundred_cancelled_streams_leave_no_writer() -> None:
    async def read_one() -> None:
        async with aclosing(here.write()) as texts:
            await anext(texts)

    async with world() as here:
        await asyncio.gather(*(read_one() for _ in range(100)))
        await eventually(lambda: here.writer.running == 0)


async def test_a_stream_ends_at_its_deadline() -> None:
    async with world() as here:
        texts = here.write(seconds=0.2)
        assert (await anext(texts)).text == "1"
        assert (await failure(_rest(texts))).reason is Reason.DEADLINE_EXCEEDED
        await eventually(lambda: here.writer.running == 0)


async def _rest(texts: AsyncIterator[object]) -> None:
    async for _ in texts:
        pass


async def test_a_stream_arrives_in_order_and_whole() -> None:
    async with world() as here:
        messages = [generation_pb2.Message(content=str(number)) for number in range(500)]
        request = generation_pb2.ChatRequest(messages=messages)
        texts = [part.text async for part in here.generation.stream("Chat", request, seconds=10.0)]
        assert texts == [str(number) for number in range(500)]


async def test_a_request_of_10_mb_is_refused_and_the_server_goes_on() -> None:
    async with world() as here:
        error = await failure(here.ask("x" * 10_000_000))
        assert isinstance(error, InvalidRequest) and error.reason is Reason.TOO_LARGE
        await here.ask()


async def test_an_answer_of_8_mb_arrives() -> None:
    async with world() as here:
        assert len((await here.ask("much")).plan) == 2**23


@pytest.mark.parametrize("token", [None, "bob", "ada "])
async def test_nobody_calls_without_the_right_token(token: str | None) -> None:
    async with world(token=token) as here:
        assert isinstance(await failure(here.ask()), Unauthenticated)
        assert isinstance(await failure(anext(here.write())), Unauthenticated)
        assert here.finder.calls == [] and here.writer.running == 0


async def test_a_bug_is_told_by_its_trace_only() -> None:
    async with world() as here:
        here.finder.failure = KeyError("def secret(): pass")
        call = here.channel.connection.unary_unary(ASK)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=[("authorization", "Bearer ada")])
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == f"internal error, trace {here.finder.calls[0].trace_id}"
        assert "secret" not in str(caught.value)
        assert isinstance(await failure(here.ask()), Unavailable)


async def test_a_timeout_of_something_else_is_a_bug_and_no_passed_deadline() -> None:
    async with world() as here:
        error = await failure(here.retrieval.unary("Explain", retrieval_pb2.ExplainRequest(), seconds=5.0))
        assert error.reason is Reason.SERVICE_UNAVAILABLE and "INTERNAL" in error.message


@pytest.mark.parametrize("text", ["\u4e2d" * 100_000, "\n\0" * 100_000, "file \udcff"])
async def test_a_message_of_any_length_and_kind_arrives(text: str) -> None:
    async with world() as here:
        here.finder.failure = InvalidRequest(text, field=text)
        error = await failure(here.ask())
        assert isinstance(error, InvalidRequest) and error.message and error.field


async def test_a_bug_in_a_stream_comes_after_what_was_written() -> None:
    async with world() as here:
        error = await failure(anext(here.generation.stream("Chat", generation_pb2.ChatRequest(), seconds=5.0)))
        assert isinstance(error, Unavailable) and "secret" not in error.message


async def test_a_service_that_is_not_there_is_unavailable_and_named() -> None:
    channel = connect("127.0.0.1:1")
    error = await failure(Client(channel, RETRIEVAL).unary("Retrieve", retrieval_pb2.RetrieveRequest(), seconds=5.0))
    assert isinstance(error, Unavailable) and "RetrievalService at 127.0.0.1:1" in error.message
    await channel.close()


async def test_a_service_that_comes_back_answers_over_the_same_channel() -> None:
    async with world() as here:
        await here.ask()
        address = here.server.address
        await here.server.stop(0)
        assert isinstance(await failure(here.ask(seconds=1.0)), Unavailable)
        async with world(address):

            async def answers() -> bool:
                try:
                    await here.ask()
                except NearcodeError:
                    return False
                return True

            async with asyncio.timeout(10):
                while not await answers():
                    pass


async def test_calls_on_a_channel_that_is_closed_are_unavailable_and_not_cancelled() -> None:
    async with world() as here:
        asking = asyncio.create_task(failure(here.ask("wait")))
        await eventually(lambda: here.finder.running == 1)
        await here.channel.close()
        assert isinstance(await asking, Unavailable)
        await eventually(lambda: here.finder.running == 0)


async def test_a_call_too_many_is_told_to_come_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearcode.runtime.server.MAX_CALLS", 2)
    async with world() as here:
        asking = [asyncio.create_task(here.ask("wait")) for _ in range(2)]
        await eventually(lambda: here.finder.running == 2)
        error = await failure(here.ask())
        assert isinstance(error, Unavailable) and error.reason is Reason.OVERLOADED
        for task in asking:
            task.cancel()
        await eventually(lambda: here.finder.running == 0)
        await here.ask()


async def test_an_expected_failure_is_not_tried_again() -> None:
    async with world() as here:
        here.finder.failure = Unavailable("no index", Reason.INDEX_UNAVAILABLE, 2.5)
        error = await failure(here.ask())
        assert isinstance(error, Unavailable) and (error.reason, error.retry_after) == (Reason.INDEX_UNAVAILABLE, 2.5)
        assert len(here.finder.calls) == 1


async def test_a_method_that_does_not_exist_is_unimplemented() -> None:
    async with world() as here:
        call = here.channel.connection.unary_unary(f"/{RETRIEVAL.full_name}/Guess")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=[("authorization", "Bearer ada")])
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_every_call_is_observed_with_its_method_and_code() -> None:
    async with world() as here:
        await here.ask()
        here.finder.failure = InvalidRequest("no")
        await failure(here.ask())
        assert [(method, code) for method, code, _ in here.observed] == [(ASK[1:], "OK"), (ASK[1:], "INVALID_ARGUMENT")]
        assert all(0 <= seconds < 5 for _, _, seconds in here.observed)


@pytest.mark.parametrize("service", sorted(READS))
def test_what_may_be_tried_again_is_a_unary_method_of_our_contracts(service: str) -> None:
    module = importlib.import_module(f"{service.rpartition('.')[0]}.{service.split('.')[2]}_pb2")
    methods = module.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name
    assert not any(methods[name].server_streaming for name in READS[service])


def test_methods_are_found_in_snake_case() -> None:
    assert [snake_case(name) for name in ("Chat", "ReadBlobs", "ListFiles")] == ["chat", "read_blobs", "list_files"]
