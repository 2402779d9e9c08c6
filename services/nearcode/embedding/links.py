"""What a file imports and defines, packed for the graph. Pure."""

from collections.abc import Sequence

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.domain.chunk import Chunk
from nearcode.domain.graph import Import, Links, pack_links
from nearcode.domain.imports import ECMASCRIPT, PYTHON, ecmascript_imports, python_imports

_OUTCOME = 12
"""Bytes that a file's outcome takes beside its version."""


def file_links(outline: FileOutline, chunks: Sequence[Chunk], source: bytes) -> bytes:
    """In as many bytes as the outline takes for anything but the file's version: a batch's links then always fit in an event,
    and what does not fit depends on the file alone. One file of ten has more, nearly all of it in generated tables."""
    if outline.language in PYTHON:
        imports: Sequence[Import] = python_imports(source.decode("utf-8", "replace")) if outline.imports else ()
    elif outline.language in ECMASCRIPT and chunks:
        imports = ecmascript_imports(source.decode("utf-8", "replace"), chunks[0].imports)
    else:
        imports = [Import(target) for target in chunks[0].imports] if chunks else ()
    outer = [name for chunk in chunks if not chunk.scopes for name in chunk.definitions]
    inner = [name for chunk in chunks if chunk.scopes for name in chunk.definitions]
    return pack_links(Links(tuple(imports), (*outer, *inner)), outline.ByteSize() - outline.file.ByteSize() - _OUTCOME)
