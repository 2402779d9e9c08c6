"""From outlines and bytes to what is embedded and counted. Pure; slow enough to belong in a thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

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


def read_files(repository: str, files: Sequence[tuple[FileOutline, bytes]], profile: ModelProfile) -> list[ReadFile]:
    """Cuts files, given as outline and bytes, and counts their words, once for the dense and the lexical vector."""
    cuts = [tuple(cut(repository, outline, source)) for outline, source in files]
    texts = [tuple(embedded_text(chunk, profile) for chunk in chunks) for chunks in cuts]
    counts: list[tuple[Mapping[str, int], ...]] = [
        tuple(map(count_identifiers, own if profile.static else map(_lexical_text, chunks)))
        for own, chunks in zip(texts, cuts, strict=True)
    ]
    paths = [path_identifiers(outline.file.path) for outline, _ in files]
    fields = [(*chunk.definitions, *path) for chunks, path in zip(cuts, paths, strict=True) for chunk in chunks]
    lexical = iter(document_vectors(list(chain.from_iterable(counts)), fields))  # at once: numpy has few calls to make
    return [
        ReadFile(
            outline,
            chunks,
            FileTexts(outline.file.path, own, counted if profile.static else ()),
            tuple(islice(lexical, len(chunks))),
            file_links(outline, chunks, source),
        )
        for (outline, source), chunks, own, counted in zip(files, cuts, texts, counts, strict=True)
    ]


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
