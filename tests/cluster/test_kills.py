"""Every service killed while twenty repositories are indexed, one process a service over clusters: nothing shows afterwards."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from nearcode.adapters.qdrant import QdrantChunkIndex
from nearcode.adapters.qdrant_edge import EdgeChunkIndex
from nearcode.domain.errors import Unavailable
from nearcode.domain.index import ChunkIndex, IndexSpace
from nearcode.domain.repository import RepositoryState, repository_id
from nearcode.domain.spaces import CHAT, COMPLETION
from nearcode.embedding.profiles import profile
from nearcode.engine import EngineClient, client
from nearcode.settings import Settings
from numpy.typing import NDArray

from tests import models
from tests.cluster.services import Services, clusters, services
from tests.cluster.trials import trials
from tests.engines import NEARCODE, SERVICES, environment, start, stop
from tests.servers_cluster import QdrantCluster
from tests.servers_nats_cluster import NatsCluster

SEED = int(os.environ.get("KILL_TEST_SEED", "20261121"))
KILLS = 18
"""Three times each service; once each at least, whatever the share of the trials."""
SAMPLE = 1_000
"""Vectors that are compared."""
LEAST_COSINE = 0.995
"""Between two vectors of one text: in int8 a vector depends a little on the texts that were embedded beside it."""
SECONDS = 1200.0
CHAT_SETTINGS = {"NEARCODE_EMBEDDING__CHAT__PROFILE": "minilm-l6-v2"}
SPACES = {
    COMPLETION: IndexSpace(COMPLETION, profile("nearcode-static-1")),
    CHAT: IndexSpace(CHAT, profile("minilm-l6-v2")),
}

T = TypeVar("T")


@dataclass
class Contents:
    """What an engine holds: the digest of each repository's completion space, and each space's vectors by point id."""

    digests: dict[str, str] = field(default_factory=dict)
    vectors: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)

    @property
    def points(self) -> int:
        return sum(map(len, self.vectors.values()))


async def read(indexes: Sequence[ChunkIndex], repositories: Sequence[str]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The vectors of each space."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for index in indexes:
        vectors = found[index.space.name] = {}
        for repository in repositories:
            async for point in index.scan(repository):
                vectors[point.id] = np.frombuffer(point.vector, "<f4")
    return found


async def insist(call: Callable[[], Awaitable[T]], deadline: float) -> T:
    """A caller that tries again while the engine is not there."""
    while True:
        try:
            return await call()
        except Unavailable:
            assert time.monotonic() < deadline, "the engine does not come back"
            await asyncio.sleep(0.1)


async def index_all(engine: EngineClient, folders: Sequence[Path]) -> None:
    """Wants every repository."""
    deadline = time.monotonic() + SECONDS
    for folder in folders:
        connected = await insist(partial(engine.repositories.connect, engine.user, folder.as_uri()), deadline)
        await insist(partial(engine.repositories.sync, engine.user, connected.id), deadline)


async def digests(engine: EngineClient, repositories: Sequence[str]) -> dict[str, str]:
    """Returns when every repository is served and its chat space filled: the digests of the completion space."""
    deadline = time.monotonic() + SECONDS
    for repository in repositories:
        while True:
            status = await insist(partial(engine.repositories.get, engine.user, repository), deadline)
            assert status.state is not RepositoryState.FAILED and not any(one.error for one in status.coverage), status
            filled = [one for one in status.coverage if one.space == CHAT and one.ratio == 1.0]
            if status.state is RepositoryState.READY and filled:
                break
            assert time.monotonic() < deadline, status
            await asyncio.sleep(0.2)
    found = {}
    for repository in repositories:
        digest = await insist(partial(engine.repositories.digest, engine.user, repository), deadline)
        found[repository] = digest[COMPLETION]
    return found


async def rebuilt(home: Path, folders: Sequence[Path], repositories: Sequence[str]) -> Contents:
    """A clean index of all, made by one process with stores of its own."""
    with_chat(home)
    targets = [name for name in SERVICES if name != "generation"]
    env = environment(home, NEARCODE_GENERATION__ADDRESS="127.0.0.1:9", **CHAT_SETTINGS)
    process, _ = start([*NEARCODE, "run", *targets, "--json"], env, home / "run.log")
    try:
        async with client(Settings(home=home)) as engine:
            await index_all(engine, folders)
            contents = Contents(await digests(engine, repositories))
    finally:
        stop(process)
    folders_of = {COMPLETION: COMPLETION, CHAT: SPACES[CHAT].collection}
    async with opened([EdgeChunkIndex(space, home / "index" / folders_of[name]) for name, space in SPACES.items()]) as indexes:
        contents.vectors = await read(indexes, repositories)
    return contents


@asynccontextmanager
async def opened(indexes: Sequence[EdgeChunkIndex | QdrantChunkIndex]) -> AsyncIterator[Sequence[ChunkIndex]]:
    try:
        for index in indexes:
            await index.open()
        yield indexes
    finally:
        for index in indexes:
            await index.close()


def with_chat(home: Path) -> None:
    """Gives a home the model of its chat space."""
    (home / "models").mkdir(parents=True)
    (home / "models" / "minilm-l6-v2").symlink_to(models.minilm())


async def kill_all_the_while(engine: Services, stored: Callable[[], Awaitable[int]], total: int, kills: int) -> list[str]:
    """Kills a service whenever a drawn number of points is stored, and starts it again. Says what it did."""
    chance = random.Random(SEED)
    rounds = -(-kills // len(SERVICES))
    victims = [name for _ in range(rounds) for name in chance.sample(SERVICES, len(SERVICES))]
    moments = sorted(chance.uniform(0.0, 0.9) for _ in range(kills))
    told = []
    deadline = time.monotonic() + SECONDS
    for moment, name in zip(moments, victims, strict=False):
        while (now := await stored()) < moment * total:
            assert time.monotonic() < deadline, f"indexing stands still at {now} of {total} points"
            await asyncio.sleep(0.05)
        service = engine.services[name]
        await asyncio.to_thread(service.kill)
        told.append(f"{name} at {now / total:.0%}")
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        await asyncio.to_thread(service.start)
    return told


def store(cluster: QdrantCluster, space: IndexSpace) -> QdrantChunkIndex:
    return QdrantChunkIndex(space, cluster.url, grpc_port=cluster.grpc_port, replicas=3, write_consistency=2)


async def quarantined(nats: NatsCluster) -> int:
    """Messages that were given up."""
    from nearcode.adapters.jetstream import connect

    connection = await connect(nats.url, "test")
    try:
        return int((await connection.jetstream().stream_info("quarantine")).state.messages)
    finally:
        await connection.close()


@pytest.mark.timeout(2400)
async def test_services_killed_while_repositories_are_indexed_leave_no_trace(repositories: list[Path], tmp_path: Path) -> None:
    ids = [repository_id(folder.as_uri()) for folder in repositories]
    clean = await rebuilt(tmp_path / "clean", repositories, ids)
    home, kills = tmp_path / "engine", trials(KILLS, len(SERVICES))
    with_chat(home)
    with clusters(tmp_path / "clusters") as (nats, qdrant, stores), services(home, stores, **CHAT_SETTINGS) as engine:
        async with opened([store(qdrant, space) for space in SPACES.values()]) as indexes, engine.client() as asked:

            async def stored() -> int:
                return sum([await one.count(at) for one in indexes for at in ids])  # type: ignore[attr-defined]

            wanting = asyncio.create_task(index_all(asked, repositories))
            told = await kill_all_the_while(engine, stored, clean.points, kills)
            await wanting
            found = Contents(await digests(asked, ids), await read(indexes, ids))
        given_up = await quarantined(nats)
    report(clean, found, told, given_up)
    assert found.digests == clean.digests
    assert {name: points.keys() for name, points in found.vectors.items()} == {
        name: points.keys() for name, points in clean.vectors.items()
    }
    assert min(cosines(clean, found)) >= LEAST_COSINE
    assert given_up == 0


def cosines(clean: Contents, found: Contents) -> list[float]:
    """Of sampled chat vectors, to those of the clean index."""
    both = sorted(clean.vectors[CHAT].keys() & found.vectors[CHAT].keys())
    sample = random.Random(SEED).sample(both, min(trials(SAMPLE, 100), len(both)))
    return [float(clean.vectors[CHAT][point] @ found.vectors[CHAT][point]) for point in sample]


def report(clean: Contents, found: Contents, told: list[str], given_up: int) -> None:
    equal = sum(clean.digests[at] == found.digests.get(at) for at in clean.digests)
    print(
        f"\nServices killed while {len(clean.digests)} repositories are indexed (seed {SEED}): {len(told)}: {', '.join(told)}"
    )
    print(f"digests equal to a clean rebuild: {equal} of {len(clean.digests)}; messages given up: {given_up}")
    for name, points in clean.vectors.items():
        now = found.vectors[name].keys()
        print(f"{name}: {len(points)} points, {len(points.keys() - now)} missing, {len(now - points.keys())} too many")
    some = cosines(clean, found)
    print(f"chat vectors compared: {len(some)}, lowest cosine {min(some):.5f}")
