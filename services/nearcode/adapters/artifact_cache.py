"""Revision artifacts near at hand, in memory and in a folder. A name never gets other bytes."""

import asyncio
from collections import OrderedDict
from pathlib import Path

from nearcode.adapters.jetstream_stores import ObjectArtifacts

_KEPT_BYTES = 64 << 20
"""Memory for artifacts: those of a few builds at once; retrieval keeps what it needs of each by itself."""


class CachedArtifacts:
    """Implements ingestion.ports.Artifacts. The folder may be deleted at any time; `folder` None keeps nothing on disk."""

    def __init__(self, store: ObjectArtifacts, folder: Path | None) -> None:
        self._store, self._folder = store, folder
        self._memory: OrderedDict[str, bytes] = OrderedDict()

    async def put(self, name: str, data: bytes) -> None:
        await self._store.put(name, data)
        await self._keep(name, data)

    async def get(self, name: str) -> bytes:
        """Raises NotFound."""
        data = self._memory.get(name) or await asyncio.to_thread(self._read, name)
        if data is None:
            data = await self._store.get(name)
            await self._keep(name, data)
        self._remember(name, data)
        return data

    async def delete(self, name: str) -> None:
        self._memory.pop(name, None)
        if self._folder:
            (self._folder / name).unlink(missing_ok=True)
        await self._store.delete(name)

    def _remember(self, name: str, data: bytes) -> None:
        self._memory[name] = data
        self._memory.move_to_end(name)
        while len(self._memory) > 1 and sum(map(len, self._memory.values())) > _KEPT_BYTES:
            self._memory.popitem(last=False)

    async def _keep(self, name: str, data: bytes) -> None:
        self._remember(name, data)
        if self._folder and not name.endswith(".draft"):
            await asyncio.to_thread(self._write, self._folder / name, data)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes() if self._folder else None
        except OSError:
            return None

    @staticmethod
    def _write(file: Path, data: bytes) -> None:
        draft = file.with_name(f".{file.name}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            draft.replace(file)
        except OSError:
            draft.unlink(missing_ok=True)  # a full disk costs speed, not the answer
