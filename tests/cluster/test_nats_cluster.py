"""Three NATS servers, and the one that leads a stream is killed again and again while work goes on.

What is counted. A message is LOST when its publisher was told that it is stored and its effect never comes. It is DOUBLED when
it is stored twice, or when its effect is there twice. Effects are what they are in nearcode: outcomes of batches in a bucket,
under a key that follows from the message, so that a handler which runs again writes the same once more. Such RERUNS are counted
and allowed: events arrive at least once, and where the confirmation of an effect died with a leader, nobody can know.
"""

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from nats.aio.client import Client
from nearcode.adapters.jetstream import JetStreamBus, connect
from nearcode.adapters.jetstream_dead import DeadLetters
from nearcode.adapters.jetstream_layout import prepare
from nearcode.adapters.jetstream_stores import KvBuilds, KvManifests, ObjectArtifacts
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain.errors import Conflict, Reason, Unavailable
from nearcode.domain.manifest import Manifest

from tests.cluster.trials import trials
from tests.servers import eventually
from tests.servers_nats_cluster import NatsCluster, nats_cluster

T = TypeVar("T")

REPOSITORY = "r" + "0" * 20
PUBLISHERS, CONSUMERS = 32, 2
RESUMED_SECONDS = 20.0
"""Within which work goes on after a leader's death: elections took 4.5 to 5.5 s; the rest is for busy machines."""


@asynccontextmanager
async def connected(cluster: NatsCluster, count: int) -> AsyncIterator[Sequence[Client]]:
    """Connections to all servers, with every stream on three of them."""
    async with AsyncExitStack() as stack:
        clients = [await connect(cluster.url, f"test {number}") for number in range(count)]
        for client in clients:
            stack.push_async_callback(client.close)
        await prepare(clients[0], 3)
        yield clients


async def retried(attempt: Callable[[], Awaitable[object]], failures: Counter[str], what: str) -> None:
    """Once more, with the same message id, until the broker has it: as a handler is called again after Unavailable."""
    while True:
        try:
            await attempt()
        except Unavailable:
            failures[what] += 1
            await asyncio.sleep(0.2)
        else:
            return


def longest_pause(moments: Sequence[float], since: float) -> float:
    """Seconds of the longest silence that began no earlier than half a second before a kill and ended within a minute."""
    near = [moment for moment in sorted(moments) if since - 0.5 <= moment <= since + 60]
    return max((after - before for before, after in itertools.pairwise(near)), default=0.0)


@pytest.mark.timeout(1800)
async def test_leaders_die_while_events_are_published_and_handled(tmp_path: Path) -> None:
    total, kills = trials(20_000, 500), trials(5, 1)
    failures: Counter[str] = Counter()
    runs: Counter[int] = Counter()
    published: list[float] = []
    handled: list[float] = []
    killed: list[float] = []
    with nats_cluster(tmp_path) as cluster:
        async with connected(cluster, 1 + CONSUMERS) as (client, *others):
            buses = [JetStreamBus(other, "acme") for other in others]
            for other, bus in zip(others, buses, strict=True):
                await bus.react(pb.RevisionSynced, recorder(KvBuilds(other), runs, handled), concurrency=16)
            publisher = JetStreamBus(client, "acme")

            async def publish(part: int) -> None:
                event = pb.RevisionSynced(repository=REPOSITORY, build=pb.Build(repository=REPOSITORY, generation=1), part=part)
                await retried(lambda: publisher.publish(event, message_id=f"part-{part}"), failures, "publishes")
                published.append(time.monotonic())

            for section in range(kills):
                parts = iter(range(section * total // kills, (section + 1) * total // kills))
                half = (2 * section + 1) * total // (2 * kills)
                await asyncio.gather(
                    *(each(publish, parts) for _ in range(PUBLISHERS)),
                    killer(cluster, client, "work", published, half, killed),
                )

            async def all_done() -> bool:
                return len(runs) == total and (await client.jetstream().stream_info("work")).state.messages == 0

            await eventually(all_done, 180, f"{total - len(runs)} of {total} messages were never handled")
            effects = await KvBuilds(client).batches(f"{REPOSITORY}.1")
            stored = (await client.jetstream().stream_info("work")).state.last_seq
            dead = await DeadLetters(client).list()
            for bus in (*buses, publisher):
                await bus.close()
    pauses = [(longest_pause(published, since), longest_pause(handled, since)) for since in killed]
    print(
        f"\nNATS: {total} publishes, {len(killed)} leaders killed: {total - len(effects)} lost, {stored - total} stored twice, "
        f"{len(effects) - total} effects doubled; {sum(runs.values()) - total} handler reruns, {len(dead)} quarantined; "
        f"{failures['publishes']} publishes had to be tried again by their caller; seconds to resume publishing "
        f"{', '.join(f'{pause:.1f}' for pause, _ in pauses)}, handling {', '.join(f'{pause:.1f}' for _, pause in pauses)}"
    )
    assert effects == {str(part) for part in range(total)}
    assert stored == total, "messages were stored twice"
    assert not dead
    assert len(killed) == kills
    assert max(pause for pair in pauses for pause in pair) < RESUMED_SECONDS


def recorder(builds: KvBuilds, runs: Counter[int], handled: list[float]) -> Callable[[pb.RevisionSynced], Awaitable[None]]:
    """A handler whose effect is an entry in a bucket."""

    async def handle(event: pb.RevisionSynced) -> None:
        await builds.put(f"{REPOSITORY}.1", str(event.part), b"done")
        runs[event.part] += 1
        handled.append(time.monotonic())

    return handle


async def each(work: Callable[[T], Awaitable[None]], items: Iterator[T]) -> None:
    """One of several that share a supply of work."""
    for item in items:
        await work(item)


async def killer(
    cluster: NatsCluster, client: Client, stream: str, done: Sequence[object], count: int, killed: list[float]
) -> None:
    """Kills the leader of a stream when so much is done, and brings it back."""

    async def time_has_come() -> bool:
        return len(done) >= count

    await eventually(time_has_come, 600, "it never came to a kill")
    name = await cluster.leader(client, stream)
    killed.append(time.monotonic())
    await asyncio.to_thread(cluster.servers[name].kill)
    await cluster.bring_back(name)


@pytest.mark.timeout(900)
async def test_leaders_die_while_manifests_are_moved(tmp_path: Path) -> None:
    """Three writers move one manifest by compare-and-set. Every move that was acknowledged raised the generation by one."""
    moves, kills = trials(1500, 150), trials(3, 1)
    failures: Counter[str] = Counter()
    acknowledged: list[float] = []
    killed: list[float] = []
    with nats_cluster(tmp_path) as cluster:
        async with connected(cluster, 3) as clients:
            await KvManifests(clients[0]).create(Manifest(REPOSITORY, "file:///a", "a"))

            async def write(manifests: KvManifests, until: int) -> None:
                while len(acknowledged) < until:
                    try:
                        found = await manifests.get(REPOSITORY)
                        assert found
                        await manifests.update(found.manifest.want(os.urandom(8).hex()), found.version)
                    except Conflict:
                        failures["beaten by another writer"] += 1
                    except Unavailable:
                        failures["unknown"] += 1
                    else:
                        acknowledged.append(time.monotonic())

            for section in range(kills):
                until, half = (section + 1) * moves // kills, (2 * section + 1) * moves // (2 * kills)
                await asyncio.gather(
                    *(write(KvManifests(client), until) for client in clients),
                    killer(cluster, clients[0], "KV_manifests", acknowledged, half, killed),
                )
            last = await KvManifests(clients[1]).get(REPOSITORY)
    assert last
    generation = last.manifest.generation
    pauses = ", ".join(f"{longest_pause(acknowledged, since):.1f}" for since in killed)
    print(
        f"\nNATS: {len(acknowledged)} acknowledged moves of a manifest by 3 writers, {len(killed)} leaders killed: generation "
        f"{generation}, {max(0, len(acknowledged) - generation)} updates lost; {failures['beaten by another writer']} refused, "
        f"{failures['unknown']} of unknown end; seconds to resume {pauses}"
    )
    assert len(acknowledged) <= generation <= len(acknowledged) + failures["unknown"]


@pytest.mark.timeout(900)
async def test_leaders_die_while_artifacts_are_written_and_read(tmp_path: Path) -> None:
    """Artifacts of several pieces: each that was stored is read back byte for byte, also while the leader dies."""
    count, size = trials(60, 12), 1_500_000
    failures: Counter[str] = Counter()
    killed: list[float] = []
    done: list[float] = []
    data = {f"a{number}": os.urandom(size) for number in range(count)}
    with nats_cluster(tmp_path) as cluster:
        async with connected(cluster, 1) as (client,):
            artifacts = ObjectArtifacts(client)

            async def write(name: str) -> None:
                await retried(lambda: artifacts.put(name, data[name]), failures, "writes")
                done.append(time.monotonic())

            async def read(name: str) -> None:
                async def compare() -> None:
                    assert await artifacts.get(name) == data[name], f"{name} is not what was stored"

                await retried(compare, failures, "reads")
                done.append(time.monotonic())

            for number, work in enumerate((write, read)):
                names = iter(data)
                half = number * count + count // 2
                await asyncio.gather(
                    *(each(work, names) for _ in range(4)),
                    killer(cluster, client, "OBJ_revisions", done, half, killed),
                )
    pauses = ", ".join(f"{longest_pause(done, since):.1f}" for since in killed)
    print(
        f"\nNATS: {count} artifacts of {size / 1e6} MB written and read, {len(killed)} leaders killed: 0 lost, 0 damaged; "
        f"{failures['writes']} writes and {failures['reads']} reads were tried again by their caller; longest pauses {pauses} s"
    )


@pytest.mark.timeout(900)
async def test_leaders_die_while_facts_are_followed(tmp_path: Path) -> None:
    """Every replica hears every fact once and in order, also those that were published while its consumer was lost."""
    total, kills = trials(2000, 300), trials(3, 1)
    failures: Counter[str] = Counter()
    heard: dict[str, list[int]] = {"a": [], "b": []}
    killed: list[float] = []
    with nats_cluster(tmp_path) as cluster:
        async with connected(cluster, 3) as (client, *others):
            buses = [JetStreamBus(other, "acme") for other in others]
            for name, bus in zip(heard, buses, strict=True):

                async def hear(fact: pb.RevisionIndexed, name: str = name) -> None:
                    heard[name].append(fact.generation)

                await bus.follow(pb.RevisionIndexed, hear)
            publisher = JetStreamBus(client, "acme")
            sent: list[int] = []

            async def publish(number: int) -> None:
                fact = pb.RevisionIndexed(repository=REPOSITORY, generation=number)
                await retried(lambda: publisher.publish(fact, message_id=f"fact-{number}"), failures, "publishes")
                sent.append(number)

            for section in range(kills):
                numbers = iter(range(section * total // kills, (section + 1) * total // kills))
                half = (2 * section + 1) * total // (2 * kills)
                await asyncio.gather(each(publish, numbers), killer(cluster, client, "facts", sent, half, killed))

            async def all_heard() -> bool:
                return all(len(facts) >= total for facts in heard.values())

            await eventually(all_heard, 60, f"heard {[len(facts) for facts in heard.values()]} of {total} facts")
            for bus in (*buses, publisher):
                await bus.close()
    missed = sum(total - len(set(facts)) for facts in heard.values())
    twice = sum(len(facts) - len(set(facts)) for facts in heard.values())
    print(f"\nNATS: {total} facts, 2 followers, {len(killed)} leaders killed: {missed} missed, {twice} heard twice")
    assert (missed, twice) == (0, 0), {name: Counter(facts).most_common(3) for name, facts in heard.items()}
    assert all(facts == sorted(facts) for facts in heard.values()), "facts came in another order"


@pytest.mark.timeout(300)
async def test_without_a_majority_everything_says_that_the_broker_is_away_and_then_goes_on(tmp_path: Path) -> None:
    """No reading, writing, publishing or starting ends in anything but EVENTS_UNAVAILABLE, so nothing is taken for a bug."""
    with nats_cluster(tmp_path) as cluster:
        async with connected(cluster, 1) as (client,):
            bus, manifests, artifacts = JetStreamBus(client, "acme"), KvManifests(client), ObjectArtifacts(client)
            manifest = Manifest(REPOSITORY, "file:///a", "a")
            await manifests.create(manifest)
            await artifacts.put("r1.1", b"kept")
            await artifacts.put("r1.3", b"may go")  # what is not acknowledged may happen all the same
            event = pb.RevisionSynced(repository=REPOSITORY, build=pb.Build(repository=REPOSITORY, generation=1), part=1)
            for name in ("n1", "n2"):
                cluster.servers[name].kill()
            attempts = (
                bus.publish(event, message_id="p1"),
                manifests.get(REPOSITORY),
                manifests.update(manifest.want("c1"), 1),
                manifests.all(),
                artifacts.get("r1.1"),
                artifacts.put("r1.2", b"never"),
                artifacts.delete("r1.3"),
                KvBuilds(client).put("r.1", "0", b""),
                DeadLetters(client).list(),
                prepare(client, 3),
            )
            ends = await asyncio.gather(*attempts, return_exceptions=True)
            # What the last server has is read from it until it notices that it is alone.
            failed = [end for end in ends if isinstance(end, BaseException)]
            assert {(type(end), getattr(end, "reason", "")) for end in failed} == {(Unavailable, Reason.EVENTS_UNAVAILABLE)}, (
                ends
            )
            assert len(failed) >= 5, "something was written without a majority"
            for name in ("n1", "n2"):
                cluster.servers[name].spawn()
            failures: Counter[str] = Counter()
            await retried(lambda: bus.publish(event, message_id="p1"), failures, "publishes")
            await retried(lambda: manifests.get(REPOSITORY), failures, "reads")
            assert await artifacts.get("r1.1") == b"kept"
            assert (await client.jetstream().stream_info("work")).state.messages == 1
