"""An embedder and a vector store that tell how they are used."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from opentelemetry import trace

from nearcode.domain.index import Embedder, FileTexts
from nearcode.embedding.cached import VectorStore
from nearcode.telemetry import conventions
from nearcode.telemetry.spans import spanned

tracer = trace.get_tracer("nearcode.embedding")

ObserveBatch = Callable[[str, int, float], None]
"""Told of each call to a model: its profile, how many chunks, how many seconds."""
ObserveLookup = Callable[[int, int], None]
"""Told of each look into the cache: how many files were there, how many were not."""


class MeasuredEmbedder:
    """Embeds through `embedder`, in a span of its own. `observe` None: the embedder counts its batches itself."""

    def __init__(self, embedder: Embedder, observe: ObserveBatch | None = None) -> None:
        self.profile = embedder.profile
        self._embedder, self._observe = embedder, observe

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        """One array of shape (chunks, dimensions) a file. Raises Unavailable."""
        began, chunks = time.monotonic(), sum(len(file.texts) for file in files)
        attributes: conventions.Attributes = {
            conventions.PROFILE: self.profile.name,
            conventions.FILES: len(files),
            conventions.CHUNKS: chunks,
        }
        with spanned(tracer, f"embed {self.profile.name}", attributes):
            vectors = await self._embedder.embed_files(files)
        if self._observe and chunks:
            self._observe(self.profile.name, chunks, time.monotonic() - began)
        return vectors

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        """Shape (dimensions,). Raises Unavailable."""
        return await self._embedder.embed_query(text, weights)


class MeasuredVectors:
    """A `VectorStore` that tells how often it had what was asked for."""

    def __init__(self, store: VectorStore, observe: ObserveLookup) -> None:
        self._store, self._observe = store, observe

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What `store` holds of these."""
        found = await self._store.get(keys)
        self._observe(len(found), len(set(keys)) - len(found))
        return found

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Keeps these in `store`."""
        await self._store.put(entries)
