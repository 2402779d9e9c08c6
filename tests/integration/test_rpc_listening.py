"""Where a server listens, and who else may."""

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from nearcode.domain.errors import Conflict, InvalidRequest, Reason
from nearcode.runtime.health import Health
from nearcode.runtime.server import RpcServer

from tests.integration.rpc_world import Ada, eventually, failure, world

HOLDER = """
import asyncio, sys
from tests.integration.rpc_world import world
async def main():
    async with world(sys.argv[1]) as here:
        print(here.server.address, flush=True)
        await asyncio.sleep(3600)
asyncio.run(main())
"""


def server(listen: str) -> RpcServer:
    return RpcServer(listen, [], authenticator=Ada(), health=Health())


async def test_port_0_is_a_free_port_that_the_address_tells() -> None:
    async with world("127.0.0.1:0") as here:
        assert int(here.server.address.removeprefix("127.0.0.1:")) > 0


async def test_a_taken_port_is_refused_by_name() -> None:
    async with world() as here:
        error = await failure(server(here.server.address).start())
        assert isinstance(error, Conflict) and error.reason is Reason.ADDRESS_IN_USE and here.server.address in error.message
        await here.ask()


async def test_a_port_that_another_program_holds_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        error = await failure(server(f"127.0.0.1:{holder.getsockname()[1]}").start())
        assert error.reason is Reason.ADDRESS_IN_USE


@pytest.mark.parametrize(
    "place", ["nonsense", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", ":0", "192.0.2.1:0", "no.invalid:0"]
)
async def test_a_place_that_is_none_is_an_invalid_setting(place: str) -> None:
    error = await failure(server(place).start())
    assert isinstance(error, InvalidRequest) and error.reason is Reason.INVALID_SETTING


async def test_a_unix_socket_is_open_to_its_owner_alone_and_goes_with_its_server(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "engine.sock"
    async with world(f"unix:{path}") as here:
        await here.ask()
        assert here.server.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_second_server_never_takes_a_living_servers_socket(tmp_path: Path) -> None:
    async with world(f"unix:{tmp_path}/s") as here:
        error = await failure(server(f"unix:{tmp_path}/s").start())
        assert isinstance(error, Conflict) and error.reason is Reason.ADDRESS_IN_USE
        await here.ask()
    async with world(f"unix:{tmp_path}/s") as here:
        await here.ask()


async def test_the_socket_that_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    place = f"unix:{tmp_path}/s"
    root = str(Path(__file__).parents[2])
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, place, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    assert holder.stdout
    assert (await asyncio.wait_for(holder.stdout.readline(), 30)).decode().strip() == place
    assert (await failure(server(place).start())).reason is Reason.ADDRESS_IN_USE
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    assert (tmp_path / "s").is_socket()
    async with world(place) as here:
        await here.ask()


@pytest.mark.parametrize("name", ["x" * 120, "is/a/folder"])
async def test_a_socket_path_that_cannot_be_is_an_invalid_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / "is" / "a" / "folder").mkdir(parents=True)
    error = await failure(server(f"unix:{tmp_path}/{name}").start())
    assert error.reason is Reason.INVALID_SETTING and str(tmp_path) in error.message


async def test_a_stopping_server_lets_running_calls_finish_and_takes_no_more() -> None:
    async with world() as here:
        texts = here.write()
        await anext(texts)
        stopping = asyncio.create_task(here.server.stop(grace=10.0))
        await eventually(lambda: here.health.draining)
        written = here.writer.written
        while here.writer.written < written + 5:
            await anext(texts)
        assert not stopping.done()
        await texts.aclose()
        await asyncio.wait_for(stopping, 5)


async def test_a_stopping_server_cuts_calls_that_do_not_end() -> None:
    async with world() as here:
        asking = asyncio.create_task(failure(here.ask("wait", seconds=60.0)))
        await eventually(lambda: here.finder.running == 1)
        await here.server.stop(grace=0.1)
        assert (await asking).reason is Reason.SERVICE_UNAVAILABLE
        assert here.finder.running == 0
