"""What waits, and which repositories there are, on a real broker: the same few questions for one repository and for many."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from nats.aio.client import Client
from nearcode.adapters.jetstream import JetStreamBus, connect
from nearcode.adapters.jetstream_layout import prepare
from nearcode.adapters.jetstream_queues import JetStreamQueues
from nearcode.adapters.jetstream_stores import KvManifests
from nearcode.adapters.nats_child import NatsChild
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain.errors import Conflict
from nearcode.domain.manifest import Manifest
from nearcode.events.topology import Queue, Share

from tests.servers import eventually

MANY = 1_000


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    child = NatsChild(tmp_path / "nats", tmp_path / "nats.log")
    await child.start()
    client = await connect(child.url, "test")
    await prepare(client)
    yield client
    await client.close()
    await child.close()


def repository(number: int) -> str:
    return f"r{number:020x}"


async def send(bus: JetStreamBus, kind: type[Message], number: int, part: int, queue: Queue) -> None:
    build = pb.Build(repository=repository(number), bulk=queue == "bulk", fill=queue == "fill", collection="chat-talk")
    event = kind(repository=repository(number), build=build, part=part)
    await bus.publish(event, message_id=f"{kind.DESCRIPTOR.name}-{number}-{part}-{queue}", queue=queue)


async def test_bulk_is_counted_by_repository_and_the_rest_by_stage(client: Client) -> None:
    bus, queues = JetStreamBus(client, "acme"), JetStreamQueues(client, "acme")
    assert (await queues.backlog()).bulk == {}
    for part in range(3):
        await send(bus, pb.RevisionSynced, 1, part, "bulk")
    await send(bus, pb.ChunksCut, 1, 0, "bulk")
    await send(bus, pb.BatchIndexed, 1, 0, "bulk")
    await send(bus, pb.BatchIndexed, 2, 0, "bulk")
    await send(bus, pb.RevisionSynced, 1, 9, "small")
    await send(bus, pb.RevisionSynced, 2, 9, "small")
    await send(bus, pb.BatchIndexed, 2, 9, "small")
    await send(bus, pb.ChunksCut, 3, 9, "fill")
    await send(JetStreamBus(client, "others"), pb.ChunksCut, 1, 5, "bulk")
    found = await queues.backlog()
    assert found.bulk == {repository(1): 4}
    assert (found.small, found.fill) == ({"synced": 2, "indexed": 1}, {"cut": 1})
    await queues.purge(repository(1))
    await queues.purge(repository(1))
    found = await queues.backlog()
    assert (found.bulk, found.small, found.fill) == ({}, {"synced": 1, "indexed": 1}, {"cut": 1})


async def test_what_is_worked_on_counts_until_it_is_done(client: Client) -> None:
    bus, queues, done = JetStreamBus(client, "acme", Share()), JetStreamQueues(client, "acme"), asyncio.Event()
    started = asyncio.Event()

    async def handle(event: pb.RevisionSynced) -> None:
        started.set()
        await done.wait()

    await send(bus, pb.RevisionSynced, 1, 0, "bulk")
    await bus.react(pb.RevisionSynced, handle)
    await asyncio.wait_for(started.wait(), 15)
    assert (await queues.backlog()).bulk == {repository(1): 1}
    done.set()

    async def empty() -> bool:
        return not (await queues.backlog()).bulk

    await eventually(empty, 15, "a message is still counted")
    await bus.close()


@pytest.mark.parametrize("alone", [False, True])
async def test_a_list_is_what_each_manifest_says_whoever_may_change_it(client: Client, alone: bool) -> None:
    chance, here = random.Random(0), KvManifests(client, alone=alone)
    elsewhere = here if alone else KvManifests(client)
    names = [(repository(number), fills) for number in range(40) for fills in ("", "chat-talk")]
    for _ in range(15):
        for name, fills in chance.sample(names, chance.choice([0, 1, 5, 70])):
            found = await elsewhere.get(name, fills)
            if found is None:
                await elsewhere.create(Manifest(name, "u", chance.choice("abc"), fills=fills))
            elif chance.random() < 0.3:
                await elsewhere.delete(name, fills)
            else:
                await elsewhere.update(found.manifest.want("c"), found.version)
        now = [each.manifest for name in names if (each := await elsewhere.get(*name))]
        looks = await asyncio.gather(*(here.all() for _ in range(3)))
        for listed in looks:
            assert sorted(each.key for each in listed) == sorted(each.key for each in now if not each.fills)
            assert {each.key: each for each in listed} == {each.key: each for each in now if not each.fills}
            assert [each.name for each in listed] == sorted(each.name for each in listed)
        assert {each.key: each for each in await here.filled()} == {each.key: each for each in now if each.fills}


async def test_who_alone_writes_lists_without_asking_and_sees_what_it_wrote_meanwhile(client: Client) -> None:
    manifests = KvManifests(client, alone=True)
    await manifests.create(Manifest(repository(1), "u", "n"))
    assert len(await manifests.all()) == 1
    asked = client.stats["out_msgs"]
    assert [len(await manifests.all()) for _ in range(3)] == [1, 1, 1]
    assert client.stats["out_msgs"] == asked
    with pytest.raises(Conflict):
        await manifests.create(Manifest(repository(1), "u", "n"))
    await asyncio.gather(manifests.all(), manifests.create(Manifest(repository(2), "u", "n")), manifests.all())
    assert len(await manifests.all()) == 2


async def test_a_broker_that_lost_its_stores_is_believed(client: Client) -> None:
    manifests = KvManifests(client)
    await manifests.create(Manifest(repository(1), "u", "n"))
    assert len(await manifests.all()) == 1
    await client.jetstream().delete_stream("KV_manifests")
    await prepare(client)
    assert await manifests.all() == []
    await manifests.create(Manifest(repository(2), "u", "n"))
    assert [each.repository for each in await manifests.all()] == [repository(2)]


async def test_a_thousand_repositories_cost_few_questions(client: Client) -> None:
    manifests, queues, bus = KvManifests(client), JetStreamQueues(client, "acme"), JetStreamBus(client, "acme")

    async def fill(number: int) -> None:
        await manifests.create(Manifest(repository(number), f"https://h/{number}", f"{number}", "main"))
        await manifests.create(Manifest(repository(number), "u", "n", fills="chat-talk"))
        await send(bus, pb.RevisionSynced, number, 0, "bulk")

    for first in range(0, MANY, 100):
        await asyncio.gather(*map(fill, range(first, first + 100)))
    assert len(await manifests.all()) == MANY  # reads each of them
    questions, request = 0, client.request

    async def counted(*arguments: object, **named: object) -> object:
        nonlocal questions
        questions += 1
        return await request(*arguments, **named)  # type: ignore[arg-type]

    client.request = counted  # type: ignore[method-assign,assignment]
    found = await manifests.get(repository(7))
    assert found
    await manifests.update(found.manifest.want("c"), found.version)
    questions, begun = 0, time.perf_counter()
    listed, filled = await manifests.all(), await manifests.filled()
    listing, between = time.perf_counter() - begun, time.perf_counter()
    backlog = await queues.backlog()
    print(f"\n1,000 repositories: listed in {listing * 1e3:.1f} ms, backlog in {(time.perf_counter() - between) * 1e3:.1f} ms")
    assert (len(listed), len(filled), len(backlog.bulk)) == (MANY, MANY, MANY)
    assert next(each for each in listed if each.repository == repository(7)).wanted == "c"
    assert questions <= 7, "two lists with one change, and three streams"
