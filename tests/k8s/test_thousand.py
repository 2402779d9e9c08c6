"""A thousand Repositories: what the operator needs, what it asks of Kubernetes and of the engine, how long all of it takes.

Small repositories on a real git server, indexed by the engine's own workers; there are no Jobs.
"""

import asyncio
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.trials import trials
from tests.k8s.installation import Installation, installation, is_ready
from tests.k8s.kube import REPOSITORIES, Kube
from tests.k8s.sources import code
from tests.servers import eventually

RESOURCES = 1_000
FILES = 2
AT_ONCE = 16
STEADY_SECONDS = 120
SECONDS = 3_000.0
MOST_MEMORY = 400e6
"""Bytes of the operator: its container may have 512 MiB in the chart."""
MOST_STEADY_CALLS = 600
"""Kubernetes calls a minute when nothing changes but the time: each of the 1,000 has a schedule of five minutes, so that 200
a minute are looked at and tell so in their status."""


@dataclass
class Load:
    """What the operator was seen to use, second by second and by call. Bytes, seconds."""

    here: Installation
    memory: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    processor: float = 0.0
    kubernetes: Counter[str] = field(default_factory=Counter)
    engine: Counter[str] = field(default_factory=Counter)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def a_minute(self, calls: Counter[str]) -> str:
        each = ", ".join(f"{name} {count / self.minutes:.0f}" for name, count in calls.most_common(8))
        return f"{calls.total() / self.minutes:.0f} ({each})"


@asynccontextmanager
async def measured(here: Installation, name: str) -> AsyncIterator[Load]:
    """Tells at the end of the block what the operator used in it."""
    load = Load(here)
    kubernetes, engine, processor = here.api.requests.copy(), engine_calls(here), here.operator.processor_seconds

    async def sample() -> None:
        while True:
            load.memory.append(here.operator.memory)
            await asyncio.sleep(1)

    sampling = asyncio.create_task(sample())
    try:
        yield load
        load.kubernetes = here.api.requests - kubernetes
        load.engine = engine_calls(here) - engine
        load.processor = here.operator.processor_seconds - processor
        print(f"{name}: {load.minutes * 60:.0f} s; operator {max(load.memory) / 1e6:.0f} MB, {load.processor:.1f} s of CPU")
        print(f"  Kubernetes calls a minute: {load.a_minute(load.kubernetes)}")
        print(f"  engine calls a minute: {load.a_minute(load.engine)}")
    finally:
        sampling.cancel()


def engine_calls(here: Installation) -> Counter[str]:
    """Calls that ingestion answered so far, by method."""
    calls: Counter[str] = Counter()
    with urllib.request.urlopen(f"http://{here.engine.addresses['ops']}/metrics") as answer:
        page = answer.read().decode()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == "rpc_server_call_duration_seconds_count":
                service, method = sample.labels["rpc_method"].rsplit("/", 1)
                if service.endswith("IngestionService"):
                    calls[method] += int(sample.value)
    return calls


@pytest.mark.timeout(4_000)
async def test_a_thousand_repositories_become_ready_and_stay_cheap(kube: Kube, tmp_path: Path) -> None:
    names = [f"repository-{number:04}" for number in range(trials(RESOURCES, 20))]
    async with installation(kube, tmp_path, {}, {}) as here:
        for number, name in enumerate(names):
            here.git.push(name, code(number * FILES, FILES))
        print(f"\n{len(names)} Repositories of {FILES} files each")
        here.operator.start()
        await eventually(lambda: watching(here), 60, "the operator does not watch: " + here.operator.tail())
        async with measured(here, "created until all are Ready") as load:
            await create(here, names)
            print(f"created after {load.minutes * 60:.0f} s")
            await eventually(lambda: all_ready(here, names), SECONDS, "not all Ready: " + here.operator.tail())
        async with measured(here, "steady") as steady:
            await asyncio.sleep(trials(STEADY_SECONDS, 30))
        assert steady.kubernetes.total() / steady.minutes <= MOST_STEADY_CALLS
        assert max(load.memory + steady.memory) <= MOST_MEMORY
        await here.until_ready(60, {name: name for name in names})
        await notice_a_push(here, names[len(names) // 2])
        async with measured(here, "deleted until all are gone"):
            await kube.call("DELETE", REPOSITORIES)
            await eventually(lambda: none_left(here), SECONDS, "not all gone: " + here.operator.tail())
        assert not await here.listed()


async def watching(here: Installation) -> bool:
    return here.api.watches > 0


async def create(here: Installation, names: Sequence[str]) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with slots:
            await here.connect(name)

    await asyncio.gather(*(one(name) for name in names))


async def all_ready(here: Installation, names: Sequence[str]) -> bool:
    await asyncio.sleep(1)  # a list of a thousand costs the API server something, too
    resources = await here.resources()
    return all(is_ready(resources.get(name)) for name in names)


async def none_left(here: Installation) -> bool:
    await asyncio.sleep(1)
    return not await here.resources()


async def notice_a_push(here: Installation, name: str) -> None:
    """With a schedule of every minute, beside all the others."""
    await here.change(name, schedule="* * * * *")
    here.git.push(name, code(50_000, 3))
    began = time.monotonic()
    await here.until_ready(180, {name: name})
    print(f"a push was searchable after {time.monotonic() - began:.1f} s, with a schedule of every minute")
