"""Follows changes in connected folders: what is saved is searched a moment later, without being asked for."""

import asyncio

from watchfiles import DefaultFilter, awatch

from nearcode.domain.address import folder_of
from nearcode.domain.errors import NearcodeError
from nearcode.domain.repository import RepositoryStatus
from nearcode.ingestion.selection import LEFT_OUT_FOLDERS
from nearcode.ingestion.service import Ingestion
from nearcode.telemetry.log import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 1.0
"""Between two looks at which folders are connected."""
_DEBOUNCE_MS = 100
"""Changes that come together are one: an editor saves in several steps, git checks out many files."""


class FolderWatcher:
    """Watches every connected folder. `run` until cancelled."""

    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Keeps one watch a folder; folders that are disconnected are let go."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._stop.set()
            await asyncio.gather(*self._watching.values(), return_exceptions=True)

    async def _look(self) -> None:
        try:
            statuses = await self._ingestion.list_repositories()
        except NearcodeError as error:
            log.warning("folders cannot be listed", reason=error.reason)
            return
        folders = {status.id: status for status in statuses if status.url.startswith("file:") and not status.branch}
        for repository in self._watching.keys() - folders.keys():
            self._watching.pop(repository).cancel()
        for repository in folders.keys() - self._watching.keys():
            self._watching[repository] = asyncio.create_task(self._watch(folders[repository]))

    async def _watch(self, status: RepositoryStatus) -> None:
        folder = folder_of(status.url)
        await self._sync(status.id)  # what happened while nobody watched
        between = asyncio.create_task(self._sync_later(status.id))
        ignored = DefaultFilter(ignore_dirs=tuple(LEFT_OUT_FOLDERS))
        try:
            async for _ in awatch(
                folder, watch_filter=ignored, debounce=_DEBOUNCE_MS, step=20, stop_event=self._stop, recursive=True
            ):
                await self._sync(status.id)
        except (OSError, RuntimeError) as error:  # the folder is gone, or the system gives no more watches
            log.warning("a folder is not watched", folder=str(folder), error=str(error))
        finally:
            between.cancel()

    async def _sync_later(self, repository: str) -> None:
        """Takes what changed between the first look and the moment from which the system tells of changes."""
        await asyncio.sleep(_LOOK_SECONDS)
        await self._sync(repository)

    async def _sync(self, repository: str) -> None:
        try:
            await self._ingestion.sync(repository)
        except NearcodeError as error:
            log.warning("a changed folder was not taken", repository=repository, reason=error.reason, error=error.message)
