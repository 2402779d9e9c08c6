"""An engine of one process a service, each of which can be killed and started again where it was."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nearcode.engine import EngineClient, client
from nearcode.gateway.settings import GatewaySettings
from nearcode.settings import Settings

from tests.engines import NEARCODE, SERVICES, environment, start, stop
from tests.servers import free_port
from tests.servers_cluster import QdrantCluster, qdrant_cluster
from tests.servers_nats_cluster import NatsCluster, nats_cluster


@dataclass
class Service:
    """`nearcode run NAME`, which keeps its address."""

    name: str
    home: Path
    environment: dict[str, str]
    process: "subprocess.Popen[str] | None" = None

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    def start(self) -> None:
        """Returns when it listens."""
        self.process, _ = start([*NEARCODE, "run", self.name, "--json"], self.environment, self.log)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In good order."""
        assert self.process
        stop(self.process)


@dataclass
class Services:
    """All services of an engine, over servers that others run."""

    home: Path
    environment: dict[str, str]
    services: dict[str, Service] = field(default_factory=dict)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[EngineClient]:
        """As an IDE has one."""
        address = self.environment["NEARCODE_GATEWAY__ADDRESS"]
        async with client(Settings(home=self.home, gateway=GatewaySettings(address=address))) as found:
            yield found


@contextmanager
def services(home: Path, stores: dict[str, str], **settings: str) -> Iterator[Services]:
    """Every service, started. `stores` are the settings that name the broker and the index."""
    home.mkdir(parents=True, exist_ok=True)
    env = environment(home, **stores, **settings)
    for name in SERVICES:
        address = f"127.0.0.1:{free_port()}"
        env[f"NEARCODE_{name.upper()}__LISTEN"] = env[f"NEARCODE_{name.upper()}__ADDRESS"] = address
    made = Services(home, env, {name: Service(name, home, env) for name in reversed(SERVICES)})
    with ExitStack() as stack:
        for service in made.services.values():
            service.start()
            stack.callback(service.stop)
        yield made


@contextmanager
def clusters(folder: Path) -> Iterator[tuple[NatsCluster, QdrantCluster, dict[str, str]]]:
    """Three NATS servers and three Qdrant nodes, and the settings of an engine over them."""
    folder.mkdir(parents=True, exist_ok=True)
    with nats_cluster(folder / "nats") as nats, qdrant_cluster(folder / "qdrant") as qdrant:
        settings = {
            "NEARCODE_EVENTS__URL": nats.url,
            "NEARCODE_EVENTS__MONITOR_URL": nats.monitor_url,
            "NEARCODE_EVENTS__REPLICAS": "3",
            "NEARCODE_INDEX__URL": qdrant.url,
            "NEARCODE_INDEX__GRPC_PORT": str(qdrant.grpc_port),
            "NEARCODE_INDEX__REPLICAS": "3",
            "NEARCODE_INDEX__WRITE_CONSISTENCY": "2",
        }
        yield nats, qdrant, settings
