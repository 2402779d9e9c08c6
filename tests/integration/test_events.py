"""Events on a real broker: nothing is lost, nothing blocks the queue, and what failed can be found and sent again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nearcode.adapters.jetstream import JetStreamBus, connect
from nearcode.adapters.jetstream_dead import DeadLetters
from nearcode.adapters.jetstream_layout import prepare
from nearcode.adapters.jetstream_stores import KvBuilds, KvManifests, ObjectArtifacts
from nearcode.adapters.nats_child import NatsChild
from nearcode.api.events.v1 import events_pb2 as pb
from nearcode.domain.errors import Conflict, InvalidRequest, NotFound, Reason, Unavailable
from nearcode.domain.manifest import Manifest
from nearcode.events import topology

REPOSITORY = "r" + "0" * 20


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[NatsChild]:
    child = NatsChild(tmp_path / "nats", tmp_path / "nats.log")
    await child.start()
    yield child
    await child.close()


@pytest.fixture
async def client(broker: NatsChild) -> AsyncIterator[Client]:
    client = await connect(broker.url, "test")
    await prepare(client)
    yield client
    await client.close()


@pytest.fixture
async def bus(client: Client) -> AsyncIterator[JetStreamBus]:
    bus = JetStreamBus(client, "acme")
    yield bus
    await bus.close()


def synced(part: int) -> pb.RevisionSynced:
    return pb.RevisionSynced(repository=REPOSITORY, build=pb.Build(repository=REPOSITORY, generation=1), part=part)


async def until(condition: object, seconds: float = 15.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():  # type: ignore[operator]
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_every_event_is_answered_once_when_nothing_fails(bus: JetStreamBus) -> None:
    seen: list[int] = []

    async def handle(event: pb.RevisionSynced) -> None:
        seen.append(event.part)

    for part in range(200):
        await bus.publish(synced(part), message_id=f"p{part}", queue="small" if part % 2 else "bulk")
        await bus.publish(synced(part), message_id=f"p{part}", queue="small" if part % 2 else "bulk")
    await bus.react(pb.RevisionSynced, handle, concurrency=4)
    await until(lambda: len(seen) >= 200)
    assert sorted(seen) == list(range(200))


async def test_an_event_waits_for_a_dependency_that_is_away(bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "retry_delay", lambda delivery: 0.05)
    tries: list[int] = []

    async def handle(event: pb.RevisionSynced) -> None:
        tries.append(event.part)
        if len(tries) < 8:  # more often than an unexpected failure would be tried
            raise Unavailable("not now", Reason.INDEX_UNAVAILABLE)

    await bus.publish(synced(1), message_id="p1")
    await bus.react(pb.RevisionSynced, handle)
    await until(lambda: len(tries) == 8)


async def test_a_bad_event_is_quarantined_with_its_reason_and_the_others_go_on(
    bus: JetStreamBus, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "retry_delay", lambda delivery: 0.05)
    done: list[int] = []
    dead: list[str] = []

    async def handle(event: pb.RevisionSynced) -> None:
        if event.part == 3:
            raise InvalidRequest("part 3 cannot be", Reason.INVALID_FIELD)
        if event.part == 4:
            raise ZeroDivisionError("a bug")
        done.append(event.part)

    async def on_dead(event: pb.RevisionSynced, error: str) -> None:
        dead.append(error)

    for part in range(10):
        await bus.publish(synced(part), message_id=f"p{part}")
    await client.jetstream().publish(f"work.small.synced.acme.{REPOSITORY}", b"\xff\xff not protobuf")
    await bus.react(pb.RevisionSynced, handle, on_dead)
    letters = DeadLetters(client)
    await until(lambda: len(done) == 8 and len(dead) == 2)
    for _ in range(200):
        if len(found := await letters.list()) == 3:
            break
        await asyncio.sleep(0.02)
    assert {(letter.reason, letter.repository) for letter in found} == {
        ("INVALID_FIELD", REPOSITORY),
        ("INTERNAL", REPOSITORY),
        ("MALFORMED_REQUEST", REPOSITORY),
    }
    by_reason = {letter.reason: letter for letter in found}
    assert by_reason["INTERNAL"].deliveries == topology.DELIVERIES
    assert "ZeroDivisionError: a bug" in by_reason["INTERNAL"].error


async def test_a_dead_letter_can_be_sent_again_after_the_cure(bus: JetStreamBus, client: Client) -> None:
    broken = True
    done: list[int] = []

    async def handle(event: pb.RevisionSynced) -> None:
        if broken:
            raise NotFound("not yet")
        done.append(event.part)

    await bus.publish(synced(1), message_id="p1")
    await bus.react(pb.RevisionSynced, handle)
    letters = DeadLetters(client)
    for _ in range(200):
        if await letters.list():
            break
        await asyncio.sleep(0.02)
    broken = False
    assert await letters.replay() == 1
    await until(lambda: done == [1])
    assert await letters.list() == []


async def test_facts_reach_every_replica(bus: JetStreamBus, broker: NatsChild) -> None:
    other_client = await connect(broker.url, "other")
    other = JetStreamBus(other_client, "acme")
    seen: list[str] = []

    async def follow(name: str, replica: JetStreamBus) -> None:
        async def handle(fact: pb.RevisionIndexed) -> None:
            seen.append(f"{name}{fact.generation}")

        await replica.follow(pb.RevisionIndexed, handle)

    await follow("a", bus)
    await follow("b", other)
    await bus.publish(pb.RevisionIndexed(repository=REPOSITORY, generation=1), message_id="f1")
    await until(lambda: sorted(seen) == ["a1", "b1"])
    await other.close()
    await other_client.close()


async def test_only_the_newest_wish_of_a_repository_is_kept(bus: JetStreamBus) -> None:
    for generation in range(1, 6):
        wish = pb.RevisionWanted(repository=REPOSITORY, generation=generation)
        await bus.publish(wish, message_id=f"w{generation}")
    seen: list[int] = []

    async def handle(event: pb.RevisionWanted) -> None:
        seen.append(event.generation)

    await bus.react(pb.RevisionWanted, handle)
    await until(lambda: bool(seen))
    assert seen == [5]


async def test_an_event_that_grew_too_large_is_refused_before_it_is_sent(bus: JetStreamBus) -> None:
    files = [{"path": "x" * 1000} for _ in range(70)]
    with pytest.raises(InvalidRequest) as caught:
        await bus.publish(pb.RevisionSynced(repository=REPOSITORY, files=files), message_id="big")  # type: ignore[arg-type]
    assert caught.value.reason == Reason.TOO_LARGE


async def test_a_killed_broker_is_started_again_and_nothing_acknowledged_is_lost(bus: JetStreamBus, broker: NatsChild) -> None:
    import os
    import signal

    for part in range(50):
        await bus.publish(synced(part), message_id=f"p{part}")
    assert broker.pid
    os.kill(broker.pid, signal.SIGKILL)
    seen: set[int] = set()

    async def handle(event: pb.RevisionSynced) -> None:
        seen.add(event.part)

    await bus.react(pb.RevisionSynced, handle)
    await until(lambda: len(seen) == 50)


async def test_no_broker_is_a_clear_error() -> None:
    with pytest.raises(Unavailable, match=r"no event broker answers at 127\.0\.0\.1:1"):
        await connect("nats://secret@127.0.0.1:1", "test")


async def test_manifests_move_by_compare_and_set_only(client: Client) -> None:
    manifests = KvManifests(client)
    manifest = Manifest(REPOSITORY, "file:///a", "a")
    await manifests.create(manifest)
    with pytest.raises(Conflict):
        await manifests.create(manifest)
    found = await manifests.get(REPOSITORY)
    assert found
    await manifests.update(manifest.want("c1"), found.version)
    with pytest.raises(Conflict):
        await manifests.update(manifest.want("c2"), found.version)
    assert [each.wanted for each in await manifests.all()] == ["c1"]
    await manifests.delete(REPOSITORY)
    assert await manifests.get(REPOSITORY) is None
    assert await manifests.all() == []
    await manifests.create(manifest)  # connected again after it was forgotten


async def test_artifacts_and_builds_are_kept_and_forgotten(client: Client) -> None:
    artifacts, builds = ObjectArtifacts(client), KvBuilds(client)
    data = bytes(range(256)) * 4000
    await artifacts.put("r1.1", data)
    assert await artifacts.get("r1.1") == data
    await artifacts.delete("r1.1")
    await artifacts.delete("r1.1")
    with pytest.raises(NotFound):
        await artifacts.get("r1.1")
    for batch in ("0.0.2", "0.1.2", "1.0.1"):
        await builds.put("r1.1", batch, batch.encode())
    await builds.put("r1.2", "0.0.1", b"other")
    assert await builds.batches("r1.1") == {"0.0.2", "0.1.2", "1.0.1"}
    assert await builds.outcomes("r1.1", ["0.1.2", "1.0.1"]) == [b"0.1.2", b"1.0.1"]
    await builds.forget("r1.1")
    assert await builds.batches("r1.1") == set()
    assert await builds.batches("r1.2") == {"0.0.1"}
