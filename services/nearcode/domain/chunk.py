"""Chunks: pieces of a file version, cut along its definitions."""

import uuid
from typing import NamedTuple

CHUNKER = "outline-3"
"""Version of all that is made of a file: chunks and what is known of them, texts that are embedded, terms and links. Part of
every point's id, so that a new way makes new points; and what an older one made is indexed anew."""

_POINTS = uuid.UUID("6f0a5f3e-6f0c-5f57-9d7b-0f6a3a1f5c11")


class Chunk(NamedTuple):
    """A piece of a file version with what is known of it. Lines are 1-based, both included.

    `header` is what a reader needs above the text: path, enclosing scopes, signature, docstring. `imports` are the file's.
    """

    repository: str
    path: str
    blob: str
    ordinal: int
    language: str
    kind: str
    start_line: int
    end_line: int
    text: str
    header: str = ""
    scopes: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


def recipe(collection: str, store: str = "") -> str:
    """What a file's points depend on beside the file: this program's way to cut it, the collection with its model, and the
    store that they lie in, if it has an identity: another one holds nothing yet."""
    return f"{CHUNKER} {collection} {store}".rstrip()


def point_id(chunk: Chunk, model_profile: str) -> str:
    """The id of a chunk's point: a function of the file version, the ordinal, the chunker and the model profile alone."""
    parts = (chunk.repository, chunk.path, chunk.blob, str(chunk.ordinal), CHUNKER, model_profile)
    return str(uuid.uuid5(_POINTS, "\0".join(parts)))
