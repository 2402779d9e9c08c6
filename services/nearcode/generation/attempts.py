"""What to ask when the model has nothing to say at the cursor: small models often end at once, and seldom twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.generation.stop import StopRules


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way to ask. `lead` stands before what the model writes, because the cursor was moved over it."""

    cursor: CodeCursor
    snippets: tuple[Snippet, ...]
    lead: str = ""
    temperature: float = 0.0


def attempts(cursor: CodeCursor, snippets: Sequence[Snippet]) -> Iterator[Attempt]:
    """First as asked; then on the next line, or without the blank lines above; then with some chance."""
    yield Attempt(cursor, tuple(snippets))
    line = cursor.prefix.rsplit("\n", 1)[-1]
    rest = cursor.suffix.partition("\n")[0]
    if line.strip() and not rest.strip():
        lead = "\n" + _indent(cursor, line)
        yield Attempt(replace(cursor, prefix=cursor.prefix.rstrip() + lead), (), lead)
    elif not line.strip() and cursor.prefix.strip():
        yield Attempt(replace(cursor, prefix=cursor.prefix.rstrip() + "\n" + line), ())
    yield Attempt(cursor, (), temperature=0.6)


def _indent(cursor: CodeCursor, line: str) -> str:
    own = line[: len(line) - len(line.lstrip())]
    deeper = "\t" if own.startswith("\t") else "    "
    return own + deeper * StopRules.at(cursor, ()).opened
