"""First indexes on a real broker: who works on them, whoever was there before, and what a Job leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nearcode.adapters import jetstream_consumers
from nearcode.adapters.jetstream import JetStreamBus, connect
from nearcode.adapters.jetstream_layout import prepare
from nearcode.adapters.nats_child import NatsChild
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.events.topology import MOST_UNANSWERED, Share

from tests.servers import eventually

ONE, OTHER = "r" + "1" * 20, "r" + "2" * 20
JOB_CONSUMER = f"bulk-acme-{ONE}-synced"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    child = NatsChild(tmp_path / "nats", tmp_path / "nats.log")
    await child.start()
    client = await connect(child.url, "test")
    await prepare(client)
    yield client
    await client.close()
    await child.close()


class Worker:
    """A process that works on parts of revisions, and remembers them. `busy`: until it is set, no part gets done."""

    def __init__(self, client: Client, share: Share) -> None:
        self.bus = JetStreamBus(client, "acme", share)
        self.seen: list[tuple[str, int]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def start(self) -> "Worker":
        await self.bus.react(pb.RevisionSynced, self._take)
        return self

    async def _take(self, event: pb.RevisionSynced) -> None:
        await self.free.wait()
        self.seen.append((event.repository, event.part))


async def publish(client: Client, repository: str, part: int) -> None:
    event = pb.RevisionSynced(repository=repository, build=pb.Build(repository=repository, bulk=True), part=part)
    await JetStreamBus(client, "acme").publish(event, message_id=f"{repository}-{part}", queue="bulk")


async def consumers(client: Client) -> set[str]:
    return {each.name for each in await client.jetstream().consumers_info("bulk")}


async def until_seen(worker: Worker, count: int, seconds: float = 15.0) -> None:
    async def seen() -> bool:
        return len(worker.seen) >= count

    await eventually(seen, seconds, f"only {worker.seen} of {count}")


async def test_a_job_works_on_its_repository_and_standing_workers_on_no_bulk(client: Client) -> None:
    for part in range(3):
        await publish(client, ONE, part)
        await publish(client, OTHER, part)
    standing = await Worker(client, Share(bulk=False)).start()
    job = await Worker(client, Share(repository=ONE)).start()
    await until_seen(job, 3)
    assert sorted(job.seen) == [(ONE, part) for part in range(3)]
    assert await job.bus.left() == {"synced": 0}
    await Worker(client, Share(repository=OTHER)).start()

    async def gone() -> bool:
        return (await client.jetstream().stream_info("bulk")).state.messages == 0

    await eventually(gone, 15, "the other repository's Job does not work")
    assert not standing.seen


async def test_two_pods_of_a_job_share_its_messages_and_the_last_one_leaves_nothing(client: Client) -> None:
    for part in range(20):
        await publish(client, ONE, part)
    pods = [await Worker(client, Share(repository=ONE)).start() for _ in range(2)]

    async def done() -> bool:
        return await pods[0].bus.left() == {"synced": 0}

    await eventually(done, 15, "the parts were not worked on")
    assert sorted(pods[0].seen + pods[1].seen) == [(ONE, part) for part in range(20)]
    assert await consumers(client) == {JOB_CONSUMER}
    info = await client.jetstream().consumer_info("bulk", JOB_CONSUMER)
    assert info.config.inactive_threshold == 900.0  # forgotten, it goes by itself
    for pod in pods:
        await pod.bus.close()
        await pod.bus.remove_consumers()
    assert await consumers(client) == set()


async def test_a_job_takes_over_from_workers_of_an_earlier_setting(client: Client) -> None:
    earlier = await Worker(client, Share(bulk=True)).start()
    await publish(client, ONE, 0)
    await until_seen(earlier, 1)
    job = await Worker(client, Share(repository=ONE)).start()  # while the earlier one still runs

    async def taken_over() -> bool:
        return JOB_CONSUMER in await consumers(client)

    await eventually(taken_over, 20, "the Job has no consumer")
    await publish(client, ONE, 1)
    await until_seen(job, 1)
    assert job.seen == [(ONE, 1)]
    await earlier.bus.close()


async def test_a_worker_that_leaves_bulk_to_jobs_removes_its_old_consumer(client: Client) -> None:
    earlier = await Worker(client, Share(bulk=True)).start()
    await publish(client, ONE, 0)
    await until_seen(earlier, 1)
    await earlier.bus.close()
    assert await consumers(client) == {"bulk-acme-synced"}
    later = [await Worker(client, Share(bulk=False)).start() for _ in range(2)]

    async def removed() -> bool:
        return not await consumers(client)

    await eventually(removed, 15, "the old consumer is still there")
    for worker in later:
        await worker.bus.close()


async def test_without_jobs_again_standing_workers_wait_for_the_last_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream_consumers, "_AGAIN_SECONDS", 0.1)
    job = await Worker(client, Share(repository=ONE)).start()
    await publish(client, ONE, 0)
    await until_seen(job, 1)
    standing = await Worker(client, Share(bulk=True)).start()
    for part in (1, 2):
        await publish(client, ONE, part)
    await until_seen(job, 3)
    assert not standing.seen
    await job.bus.close()
    await job.bus.remove_consumers()
    await publish(client, OTHER, 3)
    await until_seen(standing, 1)


async def test_what_a_dead_job_left_is_worked_on_by_standing_workers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetstream_consumers, "_AGAIN_SECONDS", 0.1)
    opening = jetstream_consumers.SharedConsumers.__init__
    monkeypatch.setattr(opening, "__defaults__", (1.0,))
    job = await Worker(client, Share(repository=ONE)).start()
    await publish(client, ONE, 0)
    await until_seen(job, 1)
    await job.bus.close()  # and never removes its consumer
    await publish(client, ONE, 1)
    standing = await Worker(client, Share(bulk=True)).start()
    await until_seen(standing, 1)
    assert await consumers(client) == {"bulk-acme-synced"}


async def test_finished_batches_are_always_taken(client: Client) -> None:
    taken = asyncio.Event()

    async def take(event: pb.BatchIndexed) -> None:
        taken.set()

    bus = JetStreamBus(client, "acme", Share(bulk=False))
    await bus.react(pb.BatchIndexed, take)
    batch = pb.BatchIndexed(repository=ONE, build=pb.Build(repository=ONE, bulk=True))
    await bus.publish(batch, message_id="b", queue="bulk")
    await asyncio.wait_for(taken.wait(), 10)
    await bus.close()


async def test_consumers_of_an_earlier_version_are_brought_up_to_this_one(client: Client) -> None:
    stream = client.jetstream()
    await stream.pull_subscribe("work.small.synced.acme.*", durable="work-small-synced-acme", stream="work")
    assert (await stream.consumer_info("work", "work-small-synced-acme")).config.max_ack_pending != MOST_UNANSWERED
    worker = await Worker(client, Share()).start()

    async def updated() -> bool:
        found = await stream.consumer_info("work", "work-small-synced-acme")
        return bool(found.config.max_ack_pending == MOST_UNANSWERED)

    await eventually(updated, 10, "the consumer is as it was")
    await worker.bus.close()
