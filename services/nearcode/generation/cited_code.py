"""The answer of a model that is too small to be trusted: the code that was found, and how to name a better model."""

import re
from collections.abc import Iterator, Sequence

from nearcode.domain.retrieval import Snippet
from nearcode.generation.untrusted_text import visible

_PIECES = 5
_LINES = 14
"""Signature, docstring and the first lines of most functions."""


def cited_code(snippets: Sequence[Snippet], model: str, chats: bool = True) -> Iterator[str]:
    """The answer, piece by piece. `chats` False: the model completes code and answers no questions."""
    if not snippets:
        yield "No code was found for this question.\n\n"
    for number, snippet in enumerate(snippets[:_PIECES], 1):
        yield _piece(number, snippet)
    if len(snippets) > _PIECES:
        places = ", ".join(f"{visible(snippet.path)}:{snippet.start_line}" for snippet in snippets[_PIECES:])
        yield f"See also {places}\n\n"
    reason = "is too small to be trusted with an answer of its own" if chats else "completes code and does not answer questions"
    yield (
        f"The model {model} {reason}, so this is the code itself. To name a better one, set generation.url and "
        "generation.model (or NEARCODE_GENERATION__URL and NEARCODE_GENERATION__MODEL).\n"
    )


def cited_count(snippets: Sequence[Snippet]) -> int:
    """How many of the snippets the answer shows with their code."""
    return min(len(snippets), _PIECES)


def _piece(number: int, snippet: Snippet) -> str:
    lines = visible(snippet.text).strip("\n").split("\n")
    code = "\n".join(lines[:_LINES])
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    names = f" {', '.join(snippet.definitions[:3])}" if snippet.definitions else ""
    more = f"\n({len(lines) - _LINES} more lines)" if len(lines) > _LINES else ""
    place = f"{visible(snippet.path)}:{snippet.start_line}"
    return f"[{number}] {place}{names}\n{fence}{snippet.language}\n{code}\n{fence}{more}\n\n"
