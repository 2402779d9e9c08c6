"""A source file to its outline: where its chunks lie and what they hold. Pure, and total: any bytes have an outline."""

from nearcode.api.chunking.v1.chunking_pb2 import FileOutline
from nearcode.api.repositories.v1 import repositories_pb2 as repositories
from nearcode.chunking.assembly import LONGEST_IMPORT, add_chunk, distinct, flat
from nearcode.chunking.grammars import grammar_for
from nearcode.chunking.layout import lay_out
from nearcode.chunking.shapes import DEFINITIONS, Shape
from nearcode.chunking.structure import TooComplex, structure
from nearcode.chunking.windows import cut_by_lines, unparsed
from nearcode.domain.languages import language_of


def outline(path: str, source: bytes, shape: Shape = DEFINITIONS) -> FileOutline:
    """The outline of a file, without its `file`. For use in a process that may be killed: hostile input takes for ever."""
    language = language_of(path, source[:200], asked=True)
    easy = unparsed(path, source)
    if easy is not None or language is None:
        return easy or FileOutline()
    grammar = grammar_for(language.grammar, source)
    try:
        found = structure(grammar, source)
    except TooComplex as reason:
        return cut_by_lines(path, source, str(reason))
    result = FileOutline(language=grammar.name, state=repositories.FILE_STATE_INDEXED)
    result.imports.extend(flat(distinct(found.imports, source, longest=LONGEST_IMPORT)))
    for piece in lay_out(found, shape):
        add_chunk(result, piece, found)
    return result
