"""From outlines and bytes to what is embedded and counted. Pure; slow enough to belong in a thread."""

from collections.abc import Mapping
from dataclasses import dataclass

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.domain.chunk import Chunk
from nearcode.domain.index import FileTexts, ModelProfile, Sparse
from nearcode.domain.sparse import document_vectors
from nearcode.domain.terms import count_identifiers, path_identifiers
from nearcode.embedding.links import file_links
from nearcode.events.cutting import cut


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file's chunks with the texts to embed and their lexical vectors, one each, and the file's packed links."""

    outline: FileOutline
    chunks: tuple[Chunk, ...]
    texts: FileTexts
    lexical: tuple[Sparse, ...]
    links: bytes = b""


def read_file(repository: str, outline: FileOutline, source: bytes, profile: ModelProfile) -> ReadFile:
    """Cuts a file and counts its words, once for the dense and the lexical vector."""
    chunks = tuple(cut(repository, outline, source))
    path = outline.file.path
    texts = tuple(embedded_text(chunk, profile) for chunk in chunks)
    counts: tuple[Mapping[str, int], ...] = tuple(
        map(count_identifiers, texts if profile.static else map(_lexical_text, chunks))
    )
    of_path = path_identifiers(path)
    lexical = document_vectors(counts, [(*chunk.definitions, *of_path) for chunk in chunks])
    known = counts if profile.static else ()
    return ReadFile(outline, chunks, FileTexts(path, texts, known), tuple(lexical), file_links(outline, chunks, source))


def embedded_text(chunk: Chunk, profile: ModelProfile) -> str:
    """What the model reads of a chunk. A static model counts words: it gets the names of the enclosing definitions above the
    text, and the path's words come on top of it. A transformer reads the header (path, scopes, signature, docstring) above the
    text, without what the text itself says: it reads a few hundred tokens, and each of them takes time."""
    if profile.static:
        return _lexical_text(chunk)
    said = " ".join(chunk.text.split())
    return "\n".join((*(row for row in chunk.header.split("\n") if row not in said), chunk.text))


def _lexical_text(chunk: Chunk) -> str:
    return "\n".join((*chunk.scopes, chunk.text))
