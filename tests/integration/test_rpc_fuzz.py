"""Whatever bytes arrive, the answer is one that the caller can understand, and the server goes on."""

import asyncio
import random
from collections import Counter

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.runtime.rpc_errors import DETAILS

from tests.integration.rpc_world import GENERATION, RETRIEVAL, World, world

SEED = 20_261_121
REQUESTS = 4000
TOKEN = [("authorization", "Bearer ada")]

VALID = retrieval_pb2.RetrieveRequest(
    query=retrieval_pb2.Query(
        principal=retrieval_pb2.Principal(user="ada", epoch=3, repositories=["r1", "r2"]),
        question="where is the deadline split?",
        limit=10,
        min_score=0.25,
    )
).SerializeToString()


def mutated(random: random.Random) -> bytes:
    """The bytes of a good request after a few of the things that go wrong with bytes."""
    body = bytearray(VALID)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(body) + 1)
        match random.randrange(5):
            case 0:
                del body[place:]
            case 1:
                body[place:place] = random.randbytes(random.randint(1, 8))
            case 2:
                body[place : place + 1] = bytes([random.randrange(256)])
            case 3:
                body[place : place + random.randint(1, 16)] = b""
            case _:
                body = bytearray(random.randbytes(random.randint(0, 64)))
    return bytes(body)


def well_formed(body: bytes) -> bool:
    try:
        retrieval_pb2.RetrieveRequest.FromString(body)
    except DecodeError:
        return False
    return True


async def answer(here: World, path: str, body: bytes) -> tuple[str, str]:
    """The code and the reason that a raw request is answered with."""
    try:
        await here.channel.connection.unary_unary(path)(body, timeout=10, metadata=TOKEN)
    except grpc.aio.AioRpcError as error:
        status, info = status_pb2.Status(), error_details_pb2.ErrorInfo()
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS:
                status.ParseFromString(value)
        for detail in status.details:
            detail.Unpack(info)
        return error.code().name, info.reason
    return "OK", ""


async def test_thousands_of_mutated_requests_get_the_right_code() -> None:
    bodies = [mutated(random.Random(SEED + number)) for number in range(REQUESTS)]
    path = f"/{RETRIEVAL.full_name}/Retrieve"
    codes: Counter[str] = Counter()
    async with world() as here:
        for start in range(0, REQUESTS, 100):
            batch = bodies[start : start + 100]
            for body, given in zip(batch, await asyncio.gather(*(answer(here, path, body) for body in batch)), strict=True):
                assert given == (("OK", "") if well_formed(body) else ("INVALID_ARGUMENT", "MALFORMED_REQUEST")), body
                codes[given[0]] += 1
        await here.ask()
    assert min(codes.values()) > REQUESTS / 20, codes  # the mutations do both


@pytest.mark.parametrize("body", [b"\xff" * 1000, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe"])
async def test_a_malformed_request_for_a_stream_gets_the_right_code(body: bytes) -> None:
    async with world() as here:
        call = here.channel.connection.unary_stream(f"/{GENERATION.full_name}/Chat")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(call(body, timeout=10, metadata=TOKEN)))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_that_are_no_http2_do_not_disturb_others() -> None:
    async with world() as here:
        host, port = here.server.address.split(":")
        chance = random.Random(SEED)
        for _ in range(50):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(chance.choice([b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]) + chance.randbytes(chance.randint(0, 300)))
            writer.close()
            del reader
        await here.ask()
