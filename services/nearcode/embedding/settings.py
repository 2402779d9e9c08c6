"""Settings of embedding."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nearcode.runtime.settings import Branch, ServiceSettings


class ChatSpaceSettings(Branch):
    """Settings of the second index space, whose transformer understands questions in words."""

    enabled: Literal["auto", "on", "off"] = "auto"
    """Whether it is filled and asked. `auto`: when its model is here (`nearcode models pull`) or `url` names a server."""
    profile: str = "bge-small-en-v1-5"
    """Model profile that the space begins with. Later ones come with `nearcode models use`, which fills them beside."""
    shape: Literal["definitions", "short"] = "definitions"
    """How files are cut for it (chunking/shapes.py). `short`: the model reads every line, 1.8 times as much text. Holds for
    what is filled from then on."""
    url: str = ""
    """`grpc://HOST:PORT` or `grpcs://HOST:PORT` of a Triton server that has the model. Empty: it runs on this machine's
    processor, in processes of its own."""
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities that vouch for a `grpcs://` server. Empty: those of `[tls]`, else the system's."""
    allow_plaintext: bool = False
    """Send code to a `grpc://` server beyond this machine. Every start logs a warning."""
    model: str = ""
    """The model's name at `url`. Empty: the profile's name."""
    folder: Path | None = None
    """Folder with `model.onnx` and `tokenizer.json`. Empty: where `nearcode models pull` puts them, below the home."""
    threads: int = Field(default=0, ge=0)
    """Threads of the model on this machine. 0: the cores, at most four; one less where it fills in behind an engine."""
    concurrency: int = Field(default=4, ge=1)
    """Batches worked on at once with a server: their texts go into common requests, as many as the server has room for."""


class EmbeddingSettings(ServiceSettings):
    """Settings of the embedding service."""

    profile: str = "nearcode-static-1"
    """Name of the model profile that embeds (embedding/profiles.toml). Another one makes another index, of everything, at the
    next start."""
    table: Path | None = None
    """Folder with a static model's `table.npy` and `words.txt`. Empty: the one in the package `nearcode-embedder`."""
    cache_bytes: int = Field(default=512 * 2**20, ge=0)
    """Bytes of vectors kept on disk by content, so that a file which comes back, on a branch or after a revert, is not embedded
    again: 512 MB are half a million chunks. 0: none are kept."""
    concurrency: int = Field(default=2, ge=1)
    """Batches worked on at once: while one is computed the other is read or written. Computing takes one core in any case."""
    chat: ChatSpaceSettings = ChatSpaceSettings()
    """The second index space."""
