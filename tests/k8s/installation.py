"""nearcode on a cluster with fake nodes: a real engine, a real git server and the real operator, as processes beside it."""

import asyncio
import itertools
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from nearcode.api.ingestion.v1 import ingestion_pb2
from nearcode.domain.address import Address
from nearcode.domain.repository import RepositoryState, RepositoryStatus, repository_id
from nearcode.ingestion.rpc import RemoteIngestion
from nearcode.runtime.channel import Client, connect

from tests.certificates import Authority
from tests.engines import NEARCODE, Engine, environment, start, stop
from tests.git_server import GitServer, git_server
from tests.k8s.kube import CRDS, REPOSITORIES, ApiError, Kube, Object
from tests.k8s.operator_process import OperatorProcess, operator_settings
from tests.k8s.proxy import Proxy, kubeconfig_for, proxy
from tests.servers import eventually, free_port, nats_server, qdrant_server

CRD = Path(__file__).parents[2] / "charts/nearcode/files/crds/repositories.nearcode.dev.yaml"


@dataclass
class Installation:
    """Everything that a test needs, by name. `workers` is the environment of an indexing Job's process."""

    kube: Kube
    api: Proxy
    git: GitServer
    engine: Engine
    ingestion: RemoteIngestion
    operator: OperatorProcess
    workers: dict[str, str]
    stores: dict[str, str]
    names: list[str] = field(default_factory=list)

    async def connect(self, name: str, source: str = "", **spec: Any) -> Object:
        """Makes a Repository for a repository of the git server (`source`: default `name`). Raises ApiError."""
        body = {"apiVersion": "nearcode.dev/v1alpha1", "kind": "Repository", "metadata": {"name": name}}
        made = await self.kube.create(REPOSITORIES, {**body, "spec": {"url": self.git.url(source or name), **spec}})
        self.names.append(name)
        return made

    async def change(self, name: str, **spec: Any) -> None:
        await self.kube.patch(f"{REPOSITORIES}/{name}", {"spec": spec})

    async def delete(self, name: str) -> None:
        """Does not wait for the finalizer."""
        await self.kube.delete(f"{REPOSITORIES}/{name}")

    async def resources(self) -> dict[str, Object]:
        """Every Repository, by name."""
        return {one["metadata"]["name"]: one for one in await self.kube.items(REPOSITORIES)}

    async def condition(self, name: str, kind: str = "Ready") -> dict[str, str]:
        """A condition of a Repository; empty while it has none."""
        return condition(await self.kube.get(f"{REPOSITORIES}/{name}"), kind)

    def id(self, source: str, branch: str = "main") -> str:
        """The engine's name of a repository of the git server."""
        return repository_id(Address.parse(self.git.url(source), branch).url, branch)

    async def listed(self) -> dict[str, RepositoryStatus]:
        """What the manifests say, by id."""
        return {one.id: one for one in await self.ingestion.list_repositories()}

    async def ready(self, sources: Mapping[str, str] | None = None) -> list[str]:
        """Which of the Repositories (name -> repository of the git server; default: all that were made) are not Ready at the
        head of `main`: by the engine's manifests and by the resource's condition, both."""
        manifests, resources = await self.listed(), await self.resources()
        return [
            name
            for name, source in (sources or {name: name for name in self.names}).items()
            if not self._served(manifests.get(self.id(source)), self.git.head(source)) or not is_ready(resources.get(name))
        ]

    async def until_ready(self, seconds: float, sources: Mapping[str, str] | None = None) -> None:
        """Waits until all are."""
        missing: list[str] = []

        async def done() -> bool:
            missing[:] = await self.ready(sources)
            return not missing

        try:
            await eventually(done, seconds, "not Ready")
        except AssertionError as error:
            resources = await self.resources()
            told = [f"{name}: {json.dumps(resources.get(name, {}).get('status', {}))}" for name in missing[:5]]
            raise AssertionError(f"{len(missing)} not Ready:\n" + "\n".join(told) + self.operator.tail()) from error

    async def points(self, repositories: Collection[str]) -> dict[str, int]:
        """How many points the index holds of each of these ids, where it holds any."""
        url = self.stores["NEARCODE_INDEX__URL"]
        counts: Counter[str] = Counter()
        async with aiohttp.ClientSession(url) as session:
            async with session.get("/collections") as answer:
                names = [one["name"] for one in (await answer.json())["result"]["collections"]]
            for name, repository in itertools.product(names, repositories):
                only = {"filter": {"must": [{"key": "repository", "match": {"value": repository}}]}, "exact": True}
                async with session.post(f"/collections/{name}/points/count", json=only) as answer:
                    counts[repository] += (await answer.json())["result"]["count"]
        return {repository: count for repository, count in counts.items() if count}

    @staticmethod
    def _served(manifest: RepositoryStatus | None, head: str) -> bool:
        return bool(manifest and manifest.state == RepositoryState.READY and manifest.revision == head)


def condition(resource: Object, kind: str = "Ready") -> dict[str, str]:
    """A condition of a Repository; empty while it has none."""
    return next((one for one in resource.get("status", {}).get("conditions", []) if one["type"] == kind), {})


def is_ready(resource: Object | None) -> bool:
    """Whether a Repository says so, of what its spec says now."""
    if resource is None or resource.get("status", {}).get("observedGeneration") != resource["metadata"]["generation"]:
        return False
    return condition(resource).get("status") == "True"


async def install_crd(kube: Kube, definition: Object | None = None) -> None:
    """Makes the custom resource known, or replaces it."""
    wanted = definition or yaml.safe_load(CRD.read_text())
    path = f"{CRDS}/{wanted['metadata']['name']}"
    if found := await kube.find(path):
        wanted = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": found["metadata"]["resourceVersion"]}}
        await kube.call("PUT", path, wanted)
    else:
        await kube.create(CRDS, wanted)
    await eventually(lambda: _served(kube), 30, "the custom resource is not served")


async def _served(kube: Kube) -> bool:
    try:
        await kube.get(REPOSITORIES)
    except ApiError:
        return False
    return True


@contextmanager
def engine(
    home: Path, git_ca: Path, settings: Mapping[str, str], services: Sequence[str] = ()
) -> Iterator[tuple[Engine, dict[str, str]]]:
    """All services (or those named) in one process that others can call, over a NATS and a Qdrant server; and the settings of
    those two."""
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        nats = stack.enter_context(nats_server(home / "nats-server"))
        qdrant = stack.enter_context(qdrant_server(home / "qdrant-server"))
        stores = {"NEARCODE_EVENTS__URL": nats.url, "NEARCODE_EVENTS__MONITOR_URL": nats.monitor_url}
        stores |= {"NEARCODE_INDEX__URL": qdrant.url, "NEARCODE_INDEX__GRPC_PORT": str(qdrant.ports["grpc"])}
        address = f"127.0.0.1:{free_port()}"
        own = {"NEARCODE_GATEWAY__LISTEN": address, "NEARCODE_INGESTION__ADDRESS": address}
        token = {"NEARCODE_GATEWAY__TOKEN_FILE": str(home / "token"), "NEARCODE_INGESTION__GIT_CA_FILE": str(git_ca)}
        env = environment(home, **stores, **own, **token, **settings)
        process, addresses = start([*NEARCODE, "run", *services, "--json"], env, home / "run.log")
        stack.callback(stop, process)
        yield Engine(home, env, addresses, [process]), stores


@asynccontextmanager
async def installation(
    kube: Kube,
    folder: Path,
    settings: Mapping[str, Any],
    engine_settings: Mapping[str, str],
    template: Object | None = None,
    services: Sequence[str] = (),
) -> AsyncIterator[Installation]:
    """`settings`: what operator.toml says beyond where things are. `engine_settings`: the engine's, as environment variables.
    `template`: of Jobs; None: there are none. `services`: those that the engine has; default: all."""
    authority = Authority(folder / "authority")
    async with AsyncExitStack() as stack:
        git = stack.enter_context(git_server(folder / "git", authority))
        made, stores = stack.enter_context(engine(folder / "engine", authority.ca, engine_settings, services))
        api = await stack.enter_async_context(proxy(kube.kubeconfig))
        address, token = made.environment["NEARCODE_GATEWAY__LISTEN"], made.home / "token"
        channel = connect(address, token.read_text().strip())
        stack.push_async_callback(channel.close)
        asked = RemoteIngestion(Client(channel, ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"]))
        file = operator_settings(folder, kube.namespace, address, token, settings, template)
        env = {name: value for name, value in os.environ.items() if not name.startswith("NEARCODE_")}
        env |= {"NEARCODE_OPERATOR_CONFIG": str(file), "KUBECONFIG": str(kubeconfig_for(api.url, folder / "kubeconfig"))}
        operator = OperatorProcess(env, folder / "operator.log")
        stack.push_async_callback(asyncio.to_thread, operator.stop)  # it may still call our proxy
        workers = {**made.environment, "NEARCODE_HOME": str(folder / "workers")}
        yield Installation(kube, api, git, made, asked, operator, workers, stores)
