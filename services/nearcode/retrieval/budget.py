"""Cuts ranked snippets to what a prompt has room for."""

import math
from collections.abc import Sequence
from dataclasses import replace

from nearcode.domain.retrieval import Snippet

CHARACTERS_A_TOKEN = 3.5
"""Of source code under the tokenizers of today's code models; prose has more, dense symbols fewer."""
FEWEST_LINES = 3
"""A snippet trimmed to fewer lines is a signature without its meaning."""


def estimate_tokens(snippet: Snippet) -> int:
    """Tokens that a snippet costs: its header and its text."""
    return _cost(len(snippet.header), len(snippet.text))


def cut(snippets: Sequence[Snippet], tokens: int) -> tuple[list[Snippet], list[Snippet]]:
    """Splits into what fits `tokens` (0: all) and the rest, both in order.

    Takes whole snippets, best first; the room that is left goes to the best one that did not fit, trimmed to its first lines.
    """
    if not tokens:
        return list(snippets), []
    left = tokens
    kept: dict[int, Snippet] = {}
    for place, snippet in enumerate(snippets):
        cost = estimate_tokens(snippet)
        if cost <= left:
            kept[place] = snippet
            left -= cost
    for place, snippet in enumerate(snippets):
        trimmed = None if place in kept else trim(snippet, left)
        if trimmed:
            kept[place] = trimmed
            break
    return [kept[place] for place in sorted(kept)], [snippet for place, snippet in enumerate(snippets) if place not in kept]


def trim(snippet: Snippet, tokens: int) -> Snippet | None:
    """The first lines of a snippet that fit; None if that would be too few."""
    lines = snippet.text.splitlines(keepends=True)
    size, count = 0, 0
    for line in lines:
        if _cost(len(snippet.header), size + len(line)) > tokens:
            break
        size += len(line)
        count += 1
    if count < min(FEWEST_LINES, len(lines)) or not count:
        return None
    return replace(snippet, text=snippet.text[:size].rstrip("\r\n"), end_line=snippet.start_line + count - 1)


def _cost(header: int, text: int) -> int:
    return math.ceil((header + text) / CHARACTERS_A_TOKEN)
