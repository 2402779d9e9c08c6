"""What an operator meets who gives nearcode a NATS server of his own: what is refused, what changed, what left alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig
from nearcode.adapters.jetstream import connect
from nearcode.adapters.jetstream_layout import brought_up, differences, layout, prepare
from nearcode.adapters.nats_child import NatsChild
from nearcode.adapters.nats_safety import Seen, confirm, refusals
from nearcode.app import App
from nearcode.domain.errors import Conflict, InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.settings import load

from tests.servers import Server, eventually, nats_server
from tests.servers_nats_cluster import nats_cluster


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Connected to a fresh NATS server."""
    with nats_server(tmp_path / "nats") as server:
        client = await connect(server.url, "test")
        yield client
        await client.close()


async def names(client: Client) -> set[str]:
    return {stream.config.name or "" for stream in await client.jetstream().streams_info()}


# Streams that are there already


async def test_an_empty_broker_gets_every_stream_bucket_and_store_and_a_second_start_changes_nothing(client: Client) -> None:
    await prepare(client)
    made = {config.name: await config_of(client, config.name or "") for config in layout(1)}
    await prepare(client)
    assert made == {config.name: await config_of(client, config.name or "") for config in layout(1)}
    assert {"desired", "work", "bulk", "fill", "facts", "quarantine", "KV_manifests", "OBJ_revisions"} <= await names(client)


async def test_many_services_that_start_at_once_do_not_disturb_each_other(client: Client) -> None:
    await asyncio.gather(*(prepare(client) for _ in range(6)))
    assert len(await names(client)) == len(layout(1))


@pytest.mark.parametrize(
    ("setting", "other", "found", "wanted"),
    [
        ("storage", StorageType.MEMORY, "memory", "file"),
        ("retention", RetentionPolicy.LIMITS, "limits", "workqueue"),
        ("discard", DiscardPolicy.OLD, "old", "new"),
        ("max_msg_size", 1024, "1024", "262144"),
        ("subjects", ["work.small.>", "mine.>"], "work.small.> mine.>", "work.small.>"),
        ("no_ack", True, "True", "False"),
    ],
)
async def test_a_stream_made_with_other_settings_is_named_and_nothing_is_changed(
    client: Client, setting: str, other: object, found: str, wanted: str
) -> None:
    work = next(config for config in layout(1) if config.name == "work")
    await client.jetstream().add_stream(work.evolve(**{setting: other}))
    before = await config_of(client, "work")
    with pytest.raises(Conflict) as caught:
        await prepare(client)
    assert caught.value.reason == Reason.EVENTS_MISMATCH
    assert f"work: {setting} is {found}, wanted {wanted}" in caught.value.message
    assert "nats stream rm" in caught.value.message
    assert await names(client) == {"work"}, "streams were made although one did not fit"
    assert await config_of(client, "work") == before


async def test_a_foreign_stream_that_takes_our_subjects_is_named(client: Client) -> None:
    await client.jetstream().add_stream(StreamConfig(name="archive", subjects=["facts.acme.>"]))
    with pytest.raises(Conflict, match=r"archive: subjects is facts\.>, wanted none of facts"):
        await prepare(client)
    assert await names(client) == {"archive"}


async def test_a_bucket_with_a_history_or_in_memory_is_named(client: Client) -> None:
    bucket = KeyValueConfig(bucket="manifests", history=5, storage=StorageType.MEMORY)
    await client.jetstream().create_key_value(bucket)
    with pytest.raises(Conflict) as caught:
        await prepare(client)
    assert "KV_manifests: max_msgs_per_subject is 5, wanted 1" in caught.value.message
    assert "KV_manifests: storage is memory, wanted file" in caught.value.message


async def test_limits_below_ours_are_raised_and_higher_ones_are_left_alone(client: Client) -> None:
    facts = next(config for config in layout(1) if config.name == "facts")
    await client.jetstream().add_stream(facts.evolve(max_age=3600.0, max_bytes=8 << 30, duplicate_window=60.0))
    await prepare(client)
    found = await config_of(client, "facts")
    assert (found["max_age"], found["max_bytes"], found["duplicate_window"]) == (facts.max_age, 8 << 30, 600.0)


async def test_three_copies_on_a_single_server_are_refused_with_the_setting_to_change(client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"events\.replicas is 3, but the event broker is one server"):
        await prepare(client, 3)


async def test_the_number_of_copies_is_raised_in_place_and_never_lowered(tmp_path: Path) -> None:
    with nats_cluster(tmp_path) as cluster:
        client = await connect(cluster.url, "test")
        await prepare(client, 1)
        stream = client.jetstream()
        await stream.publish("work.small.cut.acme.r", b"before")
        config = ConsumerConfig(durable_name="stage", filter_subject="work.small.cut.>", ack_policy=AckPolicy.EXPLICIT)
        await stream.add_consumer("work", config)
        await prepare(client, 3)

        async def copied() -> bool:
            infos = [await stream.stream_info(config.name or "") for config in layout(3)]
            copies = [len([peer for peer in (info.cluster.replicas or []) if peer.current]) for info in infos if info.cluster]
            return copies == [2] * len(infos)

        await eventually(copied, 20, "the streams are not on three servers")
        assert (await stream.get_msg("work", 1)).data == b"before"
        assert (await stream.consumer_info("work", "stage")).config.num_replicas == 0, "it would not follow its stream"
        with pytest.raises(Conflict, match=r"work: num_replicas is 3, wanted 1.*set events\.replicas = 3"):
            await prepare(client, 1)
        await client.close()


async def config_of(client: Client, stream: str) -> dict[str, object]:
    """A stream's settings, with seconds for durations."""
    return vars((await client.jetstream().stream_info(stream)).config)


# Whether the server keeps what it acknowledged


async def test_a_server_that_does_not_sync_always_is_refused_by_name(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats", sync_always=False) as server, pytest.raises(InvalidRequest) as caught:
        await started(tmp_path, server)
    assert caught.value.reason == Reason.EVENTS_UNSAFE
    assert "runs without sync_interval: always" in caught.value.message
    assert "events.unsafe_sync = true" in caught.value.message


async def test_nobody_to_ask_is_refused_with_both_cures(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as server, pytest.raises(InvalidRequest) as caught:
        await started(tmp_path, server, monitor_url="")
    assert "set `jetstream { sync_interval: always }`" in caught.value.message
    assert "events.monitor_url" in caught.value.message
    assert "events.unsafe_sync = true" in caught.value.message


async def test_a_safe_server_is_used_without_a_word(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as server, structlog.testing.capture_logs() as logs:
        await started(tmp_path, server)
    assert not [entry for entry in logs if entry["log_level"] == "warning"]


async def test_the_override_starts_and_is_logged_at_every_start(tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats", sync_always=False) as server:
        for _ in range(2):
            with structlog.testing.capture_logs() as logs:
                await started(tmp_path, server, monitor_url="", unsafe_sync=True)
            assert [entry for entry in logs if "events.unsafe_sync is set" in entry["event"]]


async def test_every_live_server_of_a_cluster_must_be_confirmed_and_a_dead_one_does_not_stop_a_start(tmp_path: Path) -> None:
    with nats_cluster(tmp_path) as cluster:
        client = await connect(cluster.url, "test")
        assert {seen.name for seen in await confirm(client, cluster.monitor_url)} == {"n1", "n2", "n3"}
        _, _, rest = cluster.monitor_url.partition(",")
        with pytest.raises(InvalidRequest, match=r"n1 belongs to the cluster, and events\.monitor_url does not name it"):
            await confirm(client, rest)
        cluster.servers["n3"].kill()

        async def gone() -> bool:
            try:
                return {seen.name for seen in await confirm(client, cluster.monitor_url)} == {"n1", "n2"}
            except NearcodeError:
                return False

        await eventually(gone, 10, "a start is refused because one server of three is down")
        await client.close()


async def test_a_door_that_does_not_answer_can_be_tried_again(client: Client) -> None:
    with pytest.raises(Unavailable, match=r"no NATS monitoring door answers at http://127\.0\.0\.1:1 "):
        await confirm(client, "http://127.0.0.1:1")


async def test_the_doors_of_another_broker_prove_nothing(client: Client, tmp_path: Path) -> None:
    with nats_server(tmp_path / "other") as other, pytest.raises(InvalidRequest, match="names other servers than"):
        await confirm(client, other.monitor_url)


async def test_the_broker_that_nearcode_starts_itself_syncs_always(tmp_path: Path) -> None:
    child = NatsChild(tmp_path / "nats", tmp_path / "nats.log")
    await child.start()
    try:
        assert "sync_interval: always" in (tmp_path / "nats" / "nats.conf").read_text()
    finally:
        await child.close()


def test_an_old_server_is_refused() -> None:
    old = Seen("A", "n1", "2.11.9", True, True)
    assert refusals("A", [old]) == ["n1 is NATS 2.11.9, older than 2.12"]
    assert refusals("A", [Seen("A", "n1", "2.12.0-RC.1", True, True)]) == []


async def started(folder: Path, server: Server, *, monitor_url: str | None = None, unsafe_sync: bool = False) -> None:
    """Connects as every service does when it starts."""
    url = server.monitor_url if monitor_url is None else monitor_url
    events = {"url": server.url, "monitor_url": url, "unsafe_sync": unsafe_sync}
    async with App(load(overrides={"home": str(folder / "home"), "events": events}), ["gateway"]) as app:
        await app.nats()


# Rules for every stream


LIMITS = st.one_of(st.just(-1), st.integers(1, 1 << 40))
OURS = st.sampled_from(layout(1))


@given(OURS, LIMITS, st.one_of(st.just(0.0), st.floats(1, 1e9)), st.integers(1, 5))
def test_bringing_up_never_lowers_a_limit_and_is_done_once(wanted: StreamConfig, size: int, age: float, replicas: int) -> None:
    found = wanted.evolve(max_bytes=size, max_age=age, num_replicas=replicas)
    after = brought_up(found, wanted.evolve(num_replicas=3)) or found
    for limit in ("max_bytes", "max_age"):
        before, now = getattr(found, limit) or -1, getattr(after, limit) or -1
        assert now <= 0 or 0 < before <= now
    assert (after.num_replicas or 1) == max(3, replicas)
    assert brought_up(after, wanted.evolve(num_replicas=3)) is None


@given(OURS)
def test_what_we_make_fits_what_we_want(wanted: StreamConfig) -> None:
    stored = StreamConfig.from_response(json.loads(json.dumps(wanted.as_dict())))
    assert differences(stored, wanted) == []
