"""Lets go of Repositories, so that a namespace can be emptied when no operator is there to finalize them."""

import asyncio
import time
from collections.abc import Sequence

from nearcode.domain.errors import Conflict
from nearcode.telemetry.log import get_logger

from nearcode_operator.cluster import Cluster
from nearcode_operator.conditions import rfc3339
from nearcode_operator.inventory import key_of
from nearcode_operator.model import Key
from nearcode_operator.ports import Manifest
from nearcode_operator.resources import FINALIZER

log = get_logger(__name__)

_LOOK_SECONDS = 0.5
_TRIES = 5


async def release(cluster: Cluster, delete: bool, patience: float) -> int:
    """Takes our finalizer off all Repositories and tells of how many. An operator that runs does not put it on again, one that
    is started later does. `delete`: deletes them first, and gives a running
    operator `patience` seconds to do its part, which also deletes what the engine keeps of them."""
    if delete:
        listed = (await cluster.repositories()).items
        await asyncio.gather(*(cluster.delete_repository(key_of(one)) for one in listed))
        deadline = time.monotonic() + patience
        while (await cluster.repositories()).items and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_SECONDS)
    held = [one for one in (await cluster.repositories()).items if FINALIZER in _finalizers(one)]
    for one in held:
        await _let_go(cluster, one)
    return len(held)


async def _let_go(cluster: Cluster, found: Manifest) -> None:
    key: Key = key_of(found)
    for _ in range(_TRIES):
        kept = [one for one in _finalizers(found) if one != FINALIZER]
        try:
            await cluster.let_go(key, kept, rfc3339(time.time()), found["metadata"]["resourceVersion"])
        except Conflict:
            left = [one for one in (await cluster.repositories()).items if key_of(one) == key]
            if not left:
                return
            found = left[0]
        else:
            log.info("released", resource=str(key))
            return
    raise Conflict(f"{key} changes all the time: stop the operator (scale its Deployment to 0), then release again")


def _finalizers(found: Manifest) -> Sequence[str]:
    return found["metadata"].get("finalizers") or ()
