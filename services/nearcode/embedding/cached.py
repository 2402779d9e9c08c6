"""An embedder that remembers: vectors by the content of a file and the model profile."""

import asyncio
import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nearcode.domain.index import Embedder, FileTexts, ModelProfile
from nearcode.domain.terms import path_words

_LENGTH = struct.Struct("<Q")


class VectorStore(Protocol):
    """Remembers bytes by key, as long as there is room. Never fails: what cannot be read or kept is not there."""

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]: ...

    async def put(self, entries: Mapping[bytes, bytes]) -> None: ...


class CachedEmbedder:
    """Embeds through `embedder` what `store` does not hold. A hit has the bytes that were computed once."""

    def __init__(self, embedder: Embedder, store: VectorStore) -> None:
        self.profile = embedder.profile
        self._embedder, self._store = embedder, store

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        """One array of shape (chunks, dimensions) a file. Raises Unavailable."""
        keys = await asyncio.to_thread(lambda: [content_key(self.profile, file) for file in files])
        known = {key: self._array(data) for key, data in (await self._store.get(keys)).items()}
        missing = {key: file for key, file in zip(keys, files, strict=True) if not _fits(known.get(key), file)}
        if missing:
            made = dict(zip(missing, await self._embedder.embed_files(list(missing.values())), strict=True))
            sound = {key: array for key, array in made.items() if np.isfinite(array).all()}  # a repaired model is asked again
            await self._store.put({key: array.astype("<f4", copy=False).tobytes() for key, array in sound.items()})
            known |= made
        return [known[key] for key in keys]

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        """Shape (dimensions,), not remembered. Raises Unavailable."""
        return await self._embedder.embed_query(text, weights)

    def _array(self, data: bytes) -> NDArray[np.float32]:
        whole = len(data) // (4 * self.profile.dimensions) * self.profile.dimensions
        return np.frombuffer(data, "<f4", whole).astype(np.float32).reshape(-1, self.profile.dimensions)


def content_key(profile: ModelProfile, file: FileTexts) -> bytes:
    """A hash of all that a file's vectors depend on: model profile, words of the path, texts of the chunks."""
    digest = hashlib.blake2b(digest_size=20)
    for part in (profile.name, str(profile.dimensions), " ".join(path_words(file.path)), *file.texts):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(_LENGTH.pack(len(data)))
        digest.update(data)
    return digest.digest()


def _fits(array: NDArray[np.float32] | None, file: FileTexts) -> bool:
    return array is not None and len(array) == len(file.texts)
