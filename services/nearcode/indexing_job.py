"""An indexing Job: when the work on one generation of a repository is done."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.manifest import Manifest, Manifests
from nearcode.settings import Settings
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

TARGETS = ("chunking", "embedding")
"""What runs in its processes."""

Left = Callable[[], Awaitable[Mapping[str, int]]]
"""Asks how many messages are left, by stage."""
Tell = Callable[[Mapping[str, int]], None]
"""Told how many messages are left, by stage."""

_ID = re.compile(r"r[0-9a-f]{20}")
_LOOK_SECONDS = 1.0


class IndexingJob:
    """One generation of a repository, and the messages `left` of that repository."""

    def __init__(self, manifests: Manifests, left: Left, repository: str, generation: int) -> None:
        self._manifests, self._left = manifests, left
        self._repository, self._generation = repository, generation

    async def done(self, tell: Tell) -> str:
        """Returns when it is done: how it ended. Looks every second, also while the stores are away."""
        while True:
            if ended := await self.look(tell):
                return ended
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, tell: Tell) -> str:
        """How it ended, see `ending`; empty while it has not, or nobody knows. Whoever publishes parts does so before the
        manifest says that they are not wanted any more, so the manifest is read first."""
        try:
            found = await self._manifests.get(self._repository)
            left = await self._left()
        except Unavailable as error:
            log.warning("it is not known now what is left", reason=error.reason, error=error.message)
            return ""
        tell(left)
        return "" if any(left.values()) else ending(found.manifest if found else None, self._generation)


def ending(manifest: Manifest | None, generation: int) -> str:
    """How the building of a generation ended: `served`, `superseded`, `failed` or `gone`; empty while it is wanted."""
    if manifest is None:
        return "gone"
    if manifest.generation != generation:
        return "superseded"
    if manifest.up_to_date:
        return "served"
    return "failed" if manifest.error else ""


def check(settings: Settings, repository: str, generation: int) -> None:
    """Whether a process of a Job can work with these. Raises InvalidRequest."""
    if not _ID.fullmatch(repository):
        raise InvalidRequest(
            f"{repository!r} is no id of a repository; status.branches of its Repository resource has it", field="repository"
        )
    if generation < 1:
        raise InvalidRequest("generations begin with 1", field="generation")
    needed = {
        "events.url": settings.events.url,
        "index.url": settings.index.url,
        "ingestion.address": settings.ingestion.address,
    }
    for name, value in needed.items():
        if not value:
            message = f"`nearcode work` is a helper of services that run elsewhere: set {name}, as for them"
            raise InvalidRequest(message, Reason.INVALID_SETTING, name)
