"""Every stream, key-value bucket and object store of nearcode as JetStream keeps it, compared with what is there.

All are streams to the broker. First all are looked at, then missing ones are made and others brought up to this version;
if one of them cannot be, nothing is changed at all.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from nearcode.adapters.jetstream_errors import TIMEOUT, nats_errors
from nearcode.domain.errors import Conflict, InvalidRequest, Reason, Unavailable
from nearcode.events import topology
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

_EQUAL = (
    "storage",
    "retention",
    "discard",
    "discard_new_per_subject",
    "max_msgs_per_subject",
    "no_ack",
    "sealed",
    "deny_delete",
    "deny_purge",
    "allow_rollup_hdrs",
    "mirror",
    "sources",
    "subject_transform",
)
"""Settings that say what a stream is for. Some the broker refuses to change, the others would change what was stored before."""
_NEVER_LESS = ("max_msg_size", "max_msgs", "max_consumers")
"""Limits that somebody set, and that would lose or refuse our messages."""
_RAISED = ("max_bytes", "max_age", "duplicate_window")
"""Limits that are raised in place. More than ours is left alone: less would delete messages."""
_NO_CLUSTER = 10074
"""JetStream's error code for more than one replica on a server without a cluster."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a stream that is not as it must be."""

    stream: str
    setting: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.stream}: {self.setting} is {self.found}, wanted {self.wanted}"


def layout(replicas: int) -> tuple[StreamConfig, ...]:
    """What nearcode keeps on a broker; each of it on `replicas` servers. Consumers are kept as their stream is."""
    buckets = (topology.MANIFESTS, topology.BUILDS, topology.SPACES)
    streams = [*map(_stream, topology.STREAMS), *map(_bucket, buckets), _objects(topology.OBJECTS)]
    return tuple(stream.evolve(num_replicas=replicas) for stream in streams)


async def prepare(client: Client, replicas: int = 1) -> None:
    """Makes what is missing and brings the rest up to this version. Running it twice, or twice at once, is the same as once.
    Raises Conflict (EVENTS_MISMATCH: nothing was changed), InvalidRequest (replicas without a cluster) and Unavailable."""
    stream = client.jetstream(timeout=TIMEOUT)
    wanted = layout(replicas)
    found = {config.name or "": config for config in await asyncio.gather(*(_found(stream, each) for each in wanted)) if config}
    owners = await asyncio.gather(*(_owners(client, each) for each in wanted))
    differences = [each for config in wanted for each in _differences(found.get(config.name or ""), config)]
    differences += [
        Difference(owner, "subjects", subject, f"none of {config.name}")
        for config, taken in zip(wanted, owners, strict=True)
        for subject, owner in taken.items()
    ]
    if differences:
        raise _mismatch(differences)
    for config in wanted:
        await _make(stream, found.get(config.name or ""), config)


def differences(found: StreamConfig, wanted: StreamConfig) -> list[Difference]:
    """What of a stream cannot, or must not, be changed in place."""
    name = wanted.name or ""
    unequal = [(each, getattr(found, each), getattr(wanted, each)) for each in _EQUAL]
    wrong = [(key, there, here) for key, there, here in unequal if (there or None) != (here or None)]
    wrong += [(key, *pair) for key in _NEVER_LESS if _limit((pair := _pair(found, wanted, key))[0]) < _limit(pair[1])]
    if (there := found.num_replicas or 1) > (here := wanted.num_replicas or 1):
        wrong.append(("num_replicas", there, here))
    if set(found.subjects or ()) != set(wanted.subjects or ()):
        wrong.append(("subjects", " ".join(found.subjects or ()), " ".join(wanted.subjects or ())))
    return [Difference(name, key, _text(there), _text(here)) for key, there, here in wrong]


def brought_up(found: StreamConfig, wanted: StreamConfig) -> StreamConfig | None:
    """The stream with its limits raised to ours and as many replicas; None where nothing has to change."""
    changes: dict[str, object] = {
        key: getattr(wanted, key) for key in _RAISED if _limit(getattr(found, key)) < _limit(getattr(wanted, key))
    }
    if (found.num_replicas or 1) < (wanted.num_replicas or 1):
        changes["num_replicas"] = wanted.num_replicas
    return found.evolve(**changes) if changes else None


def _differences(found: StreamConfig | None, wanted: StreamConfig) -> list[Difference]:
    return differences(found, wanted) if found else []


def _pair(found: StreamConfig, wanted: StreamConfig, key: str) -> tuple[float | None, float | None]:
    return getattr(found, key), getattr(wanted, key)


def _limit(value: float | None) -> float:
    """JetStream says "no limit" by -1, by 0 or by nothing."""
    return value if value and value > 0 else float("inf")


def _text(value: object) -> str:
    plain = getattr(value, "value", value)
    return "not set" if plain is None else str(plain)


def _mismatch(found: Sequence[Difference]) -> Conflict:
    names = ", ".join(sorted({each.stream for each in found}))
    if all(each.setting == "num_replicas" for each in found):
        most = max(each.found for each in found)
        cure = f"set events.replicas = {most}, or lower them by hand with `nats stream edit NAME --replicas`"
    else:
        cure = "rename or delete them (`nats stream rm NAME`, with its messages), or give nearcode a NATS account of its own"
    what = "; ".join(map(str, found))
    message = f"the event broker has streams that do not fit, and nothing was changed: {what}. For {names}: {cure}"
    return Conflict(message, Reason.EVENTS_MISMATCH)


async def _found(stream: JetStreamContext, wanted: StreamConfig) -> StreamConfig | None:
    with nats_errors():
        try:
            return (await stream.stream_info(wanted.name or "")).config
        except NotFoundError:
            return None


async def _owners(client: Client, wanted: StreamConfig) -> Mapping[str, str]:
    """Other streams that store subjects of this one: subject to name."""
    taken: dict[str, str] = {}
    for subject in wanted.subjects or ():
        with nats_errors():
            answer = await client.request("$JS.API.STREAM.NAMES", json.dumps({"subject": subject}).encode(), timeout=TIMEOUT)
        others = [name for name in json.loads(answer.data).get("streams") or () if name != wanted.name]
        if others:
            taken[subject] = others[0]
    return taken


async def _make(stream: JetStreamContext, found: StreamConfig | None, wanted: StreamConfig) -> None:
    try:
        with nats_errors():
            if found is None:
                await stream.add_stream(wanted)
            elif newer := brought_up(found, wanted):
                log.info("a stream is brought up to this version", stream=wanted.name, replicas=wanted.num_replicas)
                await stream.update_stream(newer)
    except Unavailable as error:
        if isinstance(error.__cause__, APIError) and error.__cause__.err_code == _NO_CLUSTER:
            message = f"events.replicas is {wanted.num_replicas}, but the event broker is one server: set 1, or run a cluster"
            raise InvalidRequest(message, Reason.INVALID_SETTING, "events.replicas") from error
        raise


def _stream(stream: topology.Stream) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW if stream.work_queue else DiscardPolicy.OLD,
        max_msgs_per_subject=1 if stream.newest_only else -1,
        max_age=stream.max_age,
        max_bytes=stream.max_bytes,
        max_msg_size=4 * topology.LARGEST_EVENT,
        storage=StorageType.FILE,
        duplicate_window=topology.DUPLICATE_WINDOW,
    )


def _bucket(name: str) -> StreamConfig:
    """A key-value bucket with a history of one, as the client library would make it."""
    return StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1,
        storage=StorageType.FILE,
        duplicate_window=120.0,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
        deny_delete=True,
    )


def _objects(name: str) -> StreamConfig:
    """An object store, as the client library would make it."""
    return StreamConfig(
        name=f"OBJ_{name}",
        subjects=[f"$O.{name}.C.>", f"$O.{name}.M.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        duplicate_window=120.0,
        allow_rollup_hdrs=True,
        allow_direct=True,
    )
