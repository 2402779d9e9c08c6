"""Whether every server of a NATS cluster keeps acknowledged messages through a power cut (`sync_interval: always`).

An ordinary client is not told. The monitoring door of each server is: `/varz` has `jetstream.config.sync_always`, and
`/routez` names the servers it is connected to now, so that none is forgotten. docs/decisions/sync-always.md says why.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from nearcode.domain.errors import InvalidRequest, NearcodeError, Reason, Unavailable
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

OLDEST = (2, 12)
"""The oldest series of NATS servers that this program is used with."""
_SECONDS = 5.0
_CURE = (
    "set `jetstream { sync_interval: always }` on every NATS server and name all their monitoring doors in events.monitor_url "
    "(http://HOST:8222, separated by commas), or accept the loss with events.unsafe_sync = true"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server's monitoring door says. `neighbors`: id to name of the servers it has routes to now."""

    id: str
    name: str
    version: str
    jetstream: bool
    sync_always: bool
    neighbors: Mapping[str, str] = field(default_factory=dict)


def refusals(connected: str, seen: Sequence[Seen]) -> list[str]:
    """Why these servers are not safe, the client being connected to that with the id `connected`; empty where they are."""
    known = {server.id for server in seen}
    wrong = [f"{each.name} is NATS {each.version}, older than {_version(OLDEST)}" for each in seen if _old(each.version)]
    wrong += [f"{each.name} runs without sync_interval: always" for each in seen if each.jetstream and not each.sync_always]
    unknown = {name for each in seen for id_, name in each.neighbors.items() if id_ not in known}
    wrong += [f"{name} belongs to the cluster, and events.monitor_url does not name it" for name in sorted(unknown)]
    if connected not in known and not unknown:
        wrong.append("events.monitor_url names other servers than events.url")
    return wrong


async def confirm(
    client: Client, monitor_url: str, *, unsafe: bool = False, context: ssl.SSLContext | None = None
) -> Sequence[Seen]:
    """Returns what was seen when every live server is safe. `monitor_url`: the doors, separated by commas. `unsafe`: only the
    version is checked, and a warning is logged. Raises InvalidRequest (EVENTS_UNSAFE) and Unavailable (no door answers)."""
    version = client.connected_server_version
    if (version.major, version.minor) < OLDEST:
        raise _unsafe(f"the NATS server is {version}, older than {_version(OLDEST)}: upgrade it")
    if unsafe:
        log.warning("events.unsafe_sync is set: a power cut of the event broker can lose acknowledged messages")
        return ()
    doors = [door.strip().rstrip("/") for door in monitor_url.split(",") if door.strip()]
    if not doors:
        raise _unsafe(f"nobody says whether the event broker keeps acknowledged messages through a power cut: {_CURE}")
    answers = await asyncio.gather(*(asyncio.to_thread(look, door, context) for door in doors), return_exceptions=True)
    seen = [each for each in answers if isinstance(each, Seen)]
    silent = [each for each in answers if isinstance(each, NearcodeError)]
    for bug in (each for each in answers if not isinstance(each, Seen | NearcodeError)):
        raise bug
    for failure in silent:
        log.warning("a monitoring door of the event broker does not answer", error=str(failure))
    if not seen:
        raise Unavailable("; ".join(map(str, silent)), Reason.EVENTS_UNAVAILABLE)
    if wrong := refusals(str(client._server_info.get("server_id", "")), seen):
        raise _unsafe(f"the event broker could lose acknowledged messages: {'; '.join([*wrong, *map(str, silent)])}: {_CURE}")
    return seen


def look(door: str, context: ssl.SSLContext | None = None) -> Seen:
    """Asks one monitoring door. Blocks. Raises Unavailable."""
    about, routes = _get(f"{door}/varz", context), _get(f"{door}/routez", context)
    config = (about.get("jetstream") or {}).get("config") or {}
    neighbors = {route["remote_id"]: route.get("remote_name") or route["remote_id"] for route in routes.get("routes") or ()}
    id_, version = str(about.get("server_id", "")), str(about.get("version", ""))
    name = str(about.get("server_name") or id_)
    return Seen(id_, door if name == id_ else name, version, bool(config), bool(config.get("sync_always")), neighbors)


def _get(url: str, context: ssl.SSLContext | None) -> dict[str, Any]:
    import urllib.error
    import urllib.request

    # Not through a proxy: the door is a neighbor.
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=_SECONDS) as answer:
            found = json.loads(answer.read())
    except (urllib.error.URLError, OSError, ValueError) as error:
        message = f"no NATS monitoring door answers at {url.rpartition('/')[0]} ({error}): check events.monitor_url"
        raise Unavailable(message, Reason.EVENTS_UNAVAILABLE) from error
    if not isinstance(found, dict):
        raise Unavailable(
            f"what answers at {url} is no NATS monitoring door: check events.monitor_url", Reason.EVENTS_UNAVAILABLE
        )
    return found


def _old(version: str) -> bool:
    numbers = version.split("-")[0].split(".")[:2]
    return not all(number.isdigit() for number in numbers) or tuple(map(int, numbers)) < OLDEST


def _version(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _unsafe(message: str) -> InvalidRequest:
    return InvalidRequest(message, Reason.EVENTS_UNSAFE, "events.monitor_url")
