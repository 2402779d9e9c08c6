"""Settings of embedding."""

from pathlib import Path

from pydantic import Field

from nearcode.runtime.settings import ServiceSettings


class EmbeddingSettings(ServiceSettings):
    """Settings of the embedding service."""

    profile: str = "wordllama-256"
    """Name of the model profile that embeds (embedding/profiles.toml). Another one makes another index."""
    weights: Path | None = None
    """Safetensors file with the word pieces' vectors. Empty: the one in the package `wordllama`."""
    tokenizer: Path | None = None
    """Tokenizer file (JSON) that goes with `weights`. Empty: the one in the package `wordllama`."""
    cache_bytes: int = Field(default=512 * 2**20, ge=0)
    """Bytes of vectors kept on disk by content, so that a file which comes back, on a branch or after a revert, is not embedded
    again: 512 MB are half a million chunks. 0: none are kept."""
    concurrency: int = Field(default=2, ge=1)
    """Batches worked on at once: while one is computed the other is read or written. Computing takes one core in any case."""
