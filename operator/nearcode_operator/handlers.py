"""Kopf's part: it watches, wakes the sweeps, and holds the finalizer. It keeps no state in resources: 1,000 of them cost it
1,000 patches in all, which put the finalizer there.

Beside what cluster.py lists it needs to list and watch jobs and repositories, and to patch repositories, in the namespace."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import kopf
from nearcode.domain.errors import Conflict, NearcodeError, Unavailable

from nearcode_operator.conditions import rfc3339
from nearcode_operator.inventory import Inventory
from nearcode_operator.model import GROUP, PLURAL, VERSION, Job, Resource
from nearcode_operator.repositories import Seen, read
from nearcode_operator.resources import FINALIZER, RELEASED_ANNOTATION, REPOSITORY_LABEL

Finalize = Callable[[Resource], Awaitable[None]]

_AGAIN_SECONDS = 10.0
"""Until a deletion is tried again that could not be done, as while the engine is away."""


def registry(
    repositories: Inventory[Seen], jobs: Inventory[Job] | None, wake: Callable[[], None], finalize: Finalize
) -> kopf.OperatorRegistry:
    """The handlers. `jobs`: None where there are none, and nobody may watch them."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    def repository_seen(event: kopf.RawEvent, **_: Any) -> None:
        if _noted(repositories, event):
            wake()

    began = rfc3339(time.time())

    def ours(annotations: Mapping[str, str], **_: Any) -> bool:
        return annotations.get(RELEASED_ANNOTATION, "") < began  # both in UTC, of one length

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=handlers, id="index", backoff=_AGAIN_SECONDS, when=ours)
    async def repository_deleted(body: kopf.Body, **_: Any) -> None:
        try:
            await finalize(read(body).resource)
        except NearcodeError as error:
            raise as_kopf(error) from error
        wake()

    if jobs is not None:
        known = jobs

        @kopf.on.event("batch", "v1", "jobs", registry=handlers, labels={REPOSITORY_LABEL: kopf.PRESENT})
        def job_seen(event: kopf.RawEvent, **_: Any) -> None:
            if _noted(known, event):
                wake()

    return handlers


def as_kopf(error: NearcodeError) -> Exception:
    """The edge's table of failures. What is permanent would take the finalizer off with the work undone, so a deletion that
    fails for such a reason is tried again, too, an hour at most between two tries being Kopf's own limit."""
    if isinstance(error, Unavailable):
        return kopf.TemporaryError(error.message, delay=max(_AGAIN_SECONDS, error.retry_after))
    if isinstance(error, Conflict):
        return kopf.TemporaryError(error.message, delay=_AGAIN_SECONDS)
    return kopf.TemporaryError(error.message, delay=6 * _AGAIN_SECONDS)


def settings() -> kopf.OperatorSettings:
    """Kopf's settings: no peers, no events and no annotations of its own, nothing cluster-wide."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    made.scanning.disabled = True  # resources and namespaces are known; to watch for others is cluster-wide
    made.watching.server_timeout = 300
    made.watching.connect_timeout = 10
    made.watching.label_selectors["batch", "v1", "jobs"] = REPOSITORY_LABEL
    made.networking.request_timeout = 30
    made.persistence.finalizer = FINALIZER
    made.persistence.diffbase_storage = _Nothing()
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    made.process.ultimate_exiting_timeout = 20
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(_terse)
    return made


def _terse(record: logging.LogRecord) -> bool:
    """Kopf's lines about a resource without what it hangs on them; none of tries that come again: we tell those."""
    for extra in ("settings", "k8s_skip"):
        record.__dict__.pop(extra, None)
    return "failed temporarily" not in record.getMessage()


class _Nothing(kopf.DiffBaseStorage):
    """Remembers no last state: a sweep compares with what is, so Kopf need not tell what has changed."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        return cast(kopf.BodyEssence, {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return cast(kopf.BodyEssence, {})

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return


def _noted(inventory: Inventory[Any], event: kopf.RawEvent) -> bool:
    manifest = cast(dict[str, Any], event["object"])
    if event["type"] == "DELETED":
        inventory.remove(manifest)
        return True
    return inventory.put(manifest)
