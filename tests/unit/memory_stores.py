"""Stores and a bus in memory, for tests of ingestion."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from google.protobuf.message import Message
from nearcode.domain.artifact import Snapshot
from nearcode.domain.backlog import Backlog
from nearcode.domain.errors import Conflict, NotFound
from nearcode.domain.manifest import Manifest, Versioned, manifest_key
from nearcode.domain.repository import Blob, FileState, FileStatus, FileVersion, blob_id
from nearcode.ingestion.selection import Selection


class MemoryManifests:
    def __init__(self) -> None:
        self.kept: dict[str, Versioned] = {}

    async def get(self, repository: str, fills: str = "") -> Versioned | None:
        return self.kept.get(manifest_key(repository, fills))

    async def create(self, manifest: Manifest) -> None:
        if manifest.key in self.kept:
            raise Conflict("there is one")
        self.kept[manifest.key] = Versioned(manifest, 1)

    async def update(self, manifest: Manifest, version: int) -> int:
        if self.kept[manifest.key].version != version:
            raise Conflict("changed")
        self.kept[manifest.key] = Versioned(manifest, version + 1)
        return version + 1

    async def delete(self, repository: str, fills: str = "") -> None:
        self.kept.pop(manifest_key(repository, fills), None)

    async def all(self) -> list[Manifest]:
        return [found.manifest for found in self.kept.values() if not found.manifest.fills]

    async def fills(self, repository: str) -> list[str]:
        manifests = [found.manifest for found in self.kept.values()]
        return [each.fills for each in manifests if each.fills and each.repository == repository]

    async def filled(self) -> list[Manifest]:
        return [found.manifest for found in self.kept.values() if found.manifest.fills]


class MemoryArtifacts:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        self.kept[name] = data

    async def get(self, name: str) -> bytes:
        if name not in self.kept:
            raise NotFound(name)
        return self.kept[name]

    async def delete(self, name: str) -> None:
        self.kept.pop(name, None)


class MemoryBuilds:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = {}

    async def put(self, build: str, batch: str, outcome: bytes) -> None:
        self.kept.setdefault(build, {})[batch] = outcome

    async def batches(self, build: str) -> set[str]:
        return set(self.kept.get(build, {}))

    async def outcomes(self, build: str, batches: Sequence[str]) -> list[bytes]:
        return [self.kept[build][name] for name in batches]

    async def forget(self, build: str) -> None:
        self.kept.pop(build, None)


class MemoryBus:
    """Keeps what is published; the test decides what is delivered, and how often."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.ids: set[str] = set()

    async def publish(self, event: Message, *, message_id: str, queue: str = "small") -> None:
        if message_id not in self.ids:
            self.ids.add(message_id)
            self.published.append(event)

    async def react(
        self,
        event: type[Any],
        handler: Callable[[Any], Awaitable[None]],
        on_dead: Callable[[Any, str], Awaitable[None]] | None = None,
        concurrency: int = 2,
        *,
        fill: str = "",
    ) -> None:
        raise AssertionError("not in these tests")

    async def follow(self, event: type[Any], handler: Callable[[Any], Awaitable[None]]) -> None:
        raise AssertionError("not in these tests")

    def take(self, event: type[Message]) -> list[Any]:
        """Everything published of one kind since the last time."""
        taken = [message for message in self.published if isinstance(message, event)]
        self.published = [message for message in self.published if not isinstance(message, event)]
        return taken


class MemorySources:
    """One source for every repository, under the policy of the manifest that opens it."""

    def __init__(self, source: "MemorySource") -> None:
        self.source, self.forgotten = source, list[str]()

    def __call__(self, manifest: Manifest) -> "MemorySelected":
        return MemorySelected(self.source, Selection(1_000_000, manifest.policy))

    def forget(self, manifest: Manifest) -> None:
        self.forgotten.append(manifest.repository)


class MemorySelected:
    """What a policy leaves of a source."""

    def __init__(self, source: "MemorySource", selection: Selection) -> None:
        self._source, self._selection = source, selection

    def snapshot(self, commit: str = "") -> Snapshot:
        whole = self._source.snapshot(commit)
        reasons = {file.path: self._selection.why_left_out(file.path, file.size) for file in whole.files}
        left_out = (FileStatus(path, "", FileState.SKIPPED, reason) for path, reason in reasons.items() if reason)
        return Snapshot(whole.commit, tuple(file for file in whole.files if not reasons[file.path]), (*whole.others, *left_out))

    def read(self, files: Sequence[FileVersion]) -> Iterator[Blob]:
        return self._source.read(files)


class MemoryQueues:
    """Nothing waits; tells whose queues were emptied."""

    def __init__(self) -> None:
        self.purged: list[str] = []

    async def backlog(self) -> Backlog:
        return Backlog()

    async def purge(self, repository: str) -> None:
        self.purged.append(repository)


class MemorySource:
    """A repository whose files are a dictionary; commits that were looked at stay."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.others: tuple[FileStatus, ...] = ()
        self.commits: dict[str, Snapshot] = {}

    def commit(self, **files: bytes) -> str:
        """Replaces the files; names of arguments are paths with `_py` for `.py`."""
        self.files = {name.replace("_py", ".py"): data for name, data in files.items()}
        return self.snapshot().commit

    def snapshot(self, commit: str = "") -> Snapshot:
        if commit:
            return self.commits[commit]
        versions = tuple(FileVersion(path, blob_id(data), len(data)) for path, data in sorted(self.files.items()))
        name = blob_id("".join(file.path + file.blob for file in versions).encode())
        self.commits[name] = Snapshot(name, versions, self.others)
        return self.commits[name]

    def read(self, files: Sequence[FileVersion]) -> Iterator[Blob]:
        return (Blob(file, self.files.get(file.path)) for file in files)
