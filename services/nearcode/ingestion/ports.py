"""What ingestion needs of the world."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from nearcode.domain.artifact import Snapshot
from nearcode.domain.manifest import Manifest
from nearcode.domain.repository import Blob, FileVersion


class Snapshots(Protocol):
    """What a build is planned from. Blocking: call it in a thread."""

    def snapshot(self, commit: str = "") -> Snapshot:
        """The files of a commit; without one, of the present state. Raises NotFound, Unavailable."""
        ...


class Source(Snapshots, Protocol):
    """A repository or a folder."""

    def read(self, files: Sequence[FileVersion]) -> Iterator[Blob]: ...


class Sources(Protocol):
    """Opens the source that a manifest names, under its policy. Raises InvalidRequest, NotFound."""

    def __call__(self, manifest: Manifest) -> Source: ...

    def forget(self, manifest: Manifest) -> None:
        """Deletes what is kept to read it, and never a user's own repository. Blocking. Raises Unavailable."""
        ...


class Builds(Protocol):
    """What became of each batch of a build, until the build is whole."""

    async def put(self, build: str, batch: str, outcome: bytes) -> None: ...

    async def batches(self, build: str) -> set[str]: ...

    async def outcomes(self, build: str, batches: Sequence[str]) -> list[bytes]: ...

    async def forget(self, build: str) -> None: ...


class Artifacts(Protocol):
    """Revision artifacts by name."""

    async def put(self, name: str, data: bytes) -> None: ...

    async def get(self, name: str) -> bytes:
        """Raises NotFound."""
        ...

    async def delete(self, name: str) -> None: ...
