"""What a person reads: the status of a resource, and the events that `kubectl describe` shows."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from nearcode_operator import status, story
from nearcode_operator.conditions import Reason, rfc3339
from nearcode_operator.inventory import Inventory
from nearcode_operator.model import GROUP, KIND, VERSION, Resource
from nearcode_operator.ports import ClusterApi, Manifest
from nearcode_operator.repositories import Seen

_COMPONENT = "nearcode-operator"


class Telling:
    """Writes statuses where they changed, and what is to be told of the change. `at_once`: calls at most."""

    def __init__(self, cluster: ClusterApi, repositories: Inventory[Seen], at_once: int, now: Callable[[], datetime]) -> None:
        self._cluster, self._repositories, self._now = cluster, repositories, now
        self._slots = asyncio.Semaphore(at_once)

    async def tell(self, resource: Resource, told: dict[str, Any]) -> None:
        """Writes a status and its events, if it is another one."""
        before = resource.status
        if not status.changes(before, told) or await self.write(resource, told) is None:
            return
        for event in story.events(before, told):
            async with self._slots:
                await self._cluster.post_event(event_manifest(resource, event, self._now()))

    async def warn(self, resource: Resource, reason: Reason, message: str) -> None:
        """Tells of a trouble once, however often it is met."""
        event = story.Event("Warning", reason, message)
        async with self._slots:
            await self._cluster.post_event(event_manifest(resource, event, self._now(), once=True))

    async def write(self, resource: Resource, told: dict[str, Any]) -> dict[str, Any] | None:
        """Writes a status. The one that is there then; None if the resource is gone."""
        async with self._slots:
            written = await self._cluster.patch_status(resource.key, status.changes(resource.status, told))
        if written is None:
            self._repositories.forget(resource.key)
            return None
        self._repositories.put(written)
        return dict(written.get("status") or {})


def event_manifest(resource: Resource, event: story.Event, now: datetime, once: bool = False) -> Manifest:
    """An event of core/v1 about a resource, as `kubectl describe` shows it. `once`: whenever it is told, it is the same."""
    moment = rfc3339(now)
    digest = hashlib.sha256(f"{resource.uid}{'' if once else moment}{event.reason}{event.message}".encode()).hexdigest()[:16]
    about = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": resource.key.name, "namespace": resource.key.namespace}
    return {
        "metadata": {"name": f"{resource.key.name[:200]}.{digest}", "namespace": resource.key.namespace},
        "involvedObject": {**about, "uid": resource.uid},
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
    }
