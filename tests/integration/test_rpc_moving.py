"""A server that comes back under another address, as a pod does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.errors import Unavailable
from nearcode.runtime.channel import Channel, Client, connect

from tests.integration.rpc_world import RETRIEVAL, world
from tests.servers import free_port

HOST = "engine.test"
SECONDS = 15.0
"""Far below the 30 seconds for which gRPC would go on with the address it knows."""


class Names(asyncio.DatagramProtocol):
    """A name server that knows one name. It answers each question for an IPv4 address with `address`, and others with none."""

    def __init__(self, address: str) -> None:
        self.address = address

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        end = data.index(0, 12) + 5
        question, asks_for_ipv4 = data[12:end], data[end - 4 : end - 2] == b"\0\1"
        header = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if asks_for_ipv4 else b"\0\0") + b"\0\0\0\0"
        octets = bytes(map(int, self.address.split(".")))
        answer = b"\xc0\x0c\0\1\0\1" + b"\0\0\0\0" + b"\0\4" + octets if asks_for_ipv4 else b""
        self._transport.sendto(header + question + answer, source)


@asynccontextmanager
async def names(address: str) -> AsyncIterator[tuple[Names, int]]:
    """A name server and its port."""
    transport, served = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Names(address), local_addr=("127.0.0.1", 0)
    )
    try:
        yield served, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_a_server_that_comes_back_under_another_address_is_found_within_seconds() -> None:
    port = free_port()
    async with names("127.0.0.2") as (known, asked_at):
        channel = connect(f"dns://127.0.0.1:{asked_at}/{HOST}:{port}", "ada")
        async with world(f"127.0.0.2:{port}"):
            assert await answered(channel, SECONDS)
        # As with a pod: whoever looks the name up at once still hears the old address.
        assert not await answered(channel, 1.0)
        known.address = "127.0.0.3"
        async with world(f"127.0.0.3:{port}"):
            assert await answered(channel, SECONDS)
        await channel.close()


async def answered(channel: Channel, seconds: float) -> bool:
    """Whether a service answers through the channel within so many seconds."""
    service, until = Client(channel, RETRIEVAL), time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await service.unary("Retrieve", retrieval_pb2.RetrieveRequest(), seconds=1.0)
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return True
    return False
