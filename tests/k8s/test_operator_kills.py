"""The operator is killed at random calls of the Kubernetes API, while people create, change, push and delete: nothing is
done twice, nothing is left out and nothing is left over.

Kubernetes, the operator, the engine and the Jobs' work are real; each Pod of a Job runs its own command line as a process.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nearcode.domain.address import Address
from nearcode.domain.repository import repository_id

from tests.cluster.trials import trials
from tests.k8s.chaos import People
from tests.k8s.history import History, doubled, history
from tests.k8s.installation import Installation, installation
from tests.k8s.kube import JOBS, PODS, Kube
from tests.k8s.operator_process import job_template
from tests.k8s.pods import Kubelet, kubelet
from tests.k8s.proxy import ANY, WRITES, Kill, kind_of
from tests.k8s.sources import code
from tests.servers import eventually

SEED = 20261121
KILLS = 100
REPOSITORIES_AT_ONCE = 8
WHERE = ((ANY, "", 40), (WRITES, "", 10), (WRITES, "repositories", 6), (WRITES, "jobs", 3))
"""At which calls: methods, kind of object, and the most that it does before."""
SETTLED_SECONDS = 600.0
SETTINGS = {
    "jobs": {"budget": 4, "messages_per_worker": 5, "ttl_seconds": 3600, "retry_seconds": 5.0},
    "sweep": {"busy_seconds": 0.5, "idle_seconds": 2.0, "retry_seconds": 5.0},
}
EVERYTHING_IS_BULK = {"NEARCODE_EVENTS__BULK": "false", "NEARCODE_INGESTION__BULK_PARTS": "0"}


async def test_an_operator_killed_at_random_calls_does_nothing_twice_and_leaves_nothing_out(kube: Kube, tmp_path: Path) -> None:
    chance, kills = random.Random(SEED), trials(KILLS, 4)
    async with world(kube, tmp_path) as (here, seen, node):
        people = People(here, chance, max(3, min(REPOSITORIES_AT_ONCE, kills // 2)))
        struck = [await kill_once(here, people, chance) for _ in range(kills)]
        here.operator.start()
        began = time.monotonic()
        await settle(here, people)
        seconds = time.monotonic() - began
        report(people, struck, seen, node, seconds)
        assert len(struck) == kills
        assert not doubled(seen.jobs.values(), lives(here, people))
        assert not node.failed
        await check_engine(here, people)
        await check_nothing_left(here, people)


@asynccontextmanager
async def world(kube: Kube, folder: Path) -> AsyncIterator[tuple[Installation, History, Kubelet]]:
    async with (
        installation(kube, folder, SETTINGS, EVERYTHING_IS_BULK, job_template()) as here,
        history(kube) as seen,
        kubelet(kube, here.workers, folder / "workers.log") as node,
    ):
        yield here, seen, node


async def kill_once(here: Installation, people: People, chance: random.Random) -> str:
    """Starts the operator and people's next deeds, and returns at which call it died. If nothing is left to be done before
    it comes to that call, people do more."""
    methods, about, most = chance.choice(WHERE)
    kill = Kill(chance.randint(1, most), methods, about, chance.random() < 0.5, lambda: here.operator.kill())
    here.api.armed = kill
    here.operator.start()
    deadline = time.monotonic() + 300
    while not kill.request:
        assert here.operator.running, f"the operator ended by itself:\n{here.operator.tail()}"
        assert time.monotonic() < deadline, f"{kill} did not happen:\n{here.operator.tail()}"
        await people.act()
        await asyncio.sleep(chance.uniform(0.1, 3.0))
    return f"{kill.request.split('?')[0]} {'done' if kill.forwarded else 'not seen'}"


async def settle(here: Installation, people: People) -> None:
    """Waits until everything is as people want it."""
    here.names[:] = list(people.present)
    await here.until_ready(SETTLED_SECONDS, {name: one.source for name, one in people.present.items()})
    await eventually(lambda: gone(here, people), 120, "deleted Repositories are still there")
    await eventually(lambda: quiet(here), 120, "Jobs are still at work")


async def gone(here: Installation, people: People) -> bool:
    return not people.deleted.keys() & (await here.resources()).keys()


async def quiet(here: Installation) -> bool:
    return not any(job.get("status", {}).get("active") for job in await here.kube.items(JOBS))


def ids(here: Installation, source: str, branches: list[str]) -> dict[str, str]:
    url = Address.parse(here.git.url(source), "main").url
    return {repository_id(url, branch): branch for branch in branches}


def lives(here: Installation, people: People) -> dict[str, int]:
    """How often each repository, by its id, was connected."""
    everything = [*people.present.values(), *people.deleted.values()]
    return {id: one.lives[branch] for one in everything for id, branch in ids(here, one.source, list(one.lives)).items()}


async def check_engine(here: Installation, people: People) -> None:
    """The engine has what the Repositories say and nothing else, and built nothing more often than there was a reason to."""
    listed = await here.listed()
    wanted: dict[str, int] = {}
    for one in people.present.values():
        wanted |= {id: one.builds[branch] for id, branch in ids(here, one.source, one.branches).items()}
    assert listed.keys() == wanted.keys()
    often = {id: (listed[id].generation, most) for id, most in wanted.items() if listed[id].generation > most}
    assert not often, f"built more often than it was changed: {often}"


async def check_nothing_left(here: Installation, people: People) -> None:
    """Of what was deleted: no resource, Job, Pod, clone or point."""
    removed = {id for one in people.deleted.values() for id in ids(here, one.source, ["main", "next"])}
    removed |= {id for one in people.present.values() for id in ids(here, one.source, ["main", "next"])}
    removed -= (await here.listed()).keys()
    for path in (JOBS, PODS):
        left = [item["metadata"]["name"] for item in await here.kube.items(path) if of(item) in removed]
        assert not left, f"{path}: {left}"
    clones = {folder.name.removesuffix(".git") for folder in (here.engine.home / "git").glob("*")}
    assert not clones & removed
    assert not await here.points(removed)


def of(item: dict[str, dict[str, dict[str, str]]]) -> str:
    return item["metadata"].get("labels", {}).get("nearcode.dev/repository", "")


def report(people: People, struck: list[str], seen: History, node: Kubelet, seconds: float) -> None:
    deeds = Counter(deed.split()[0] for deed in people.done)
    jobs = Counter(job.ended or "went with its repository" for job in seen.jobs.values())
    print(f"\n{len(struck)} operator kills (seed {SEED}); people: {dict(deeds)}; {len(people.present)} Repositories at the end")
    for request, count in Counter(map(shortened, struck)).most_common():
        print(f"  {count:3} x {request}")
    builds = {(job.repository, job.generation) for job in seen.jobs.values()}
    print(f"Jobs: {len(seen.jobs)} for {len(builds)} builds: {dict(jobs)}")
    print(f"pods as processes: {len(node.containers)}; all Ready {seconds:.1f} s after the last start")


def shortened(request: str) -> str:
    method, path, *outcome = request.split()
    return " ".join([method, kind_of(path), *outcome])


async def test_the_check_sees_an_operator_that_makes_a_job_twice(kube: Kube, tmp_path: Path) -> None:
    """A positive control: Jobs with names drawn by chance, instead of one name a build."""
    async with world(kube, tmp_path) as (here, seen, _):
        here.git.push("twice", code(0, 60))
        here.operator.command = [sys.executable, "-m", "tests.k8s.faulty_operator", "run"]
        await here.connect("twice", indexSpaces=["completion"])
        here.operator.start()
        await eventually(lambda: seen_doubled(seen), 120, "no Job was made twice: " + here.operator.tail())


async def seen_doubled(seen: History) -> bool:
    return bool(doubled(seen.jobs.values()))
