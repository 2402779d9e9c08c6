"""Makes text from repositories harmless in a prompt: it is data, whatever it says."""

import re
from collections.abc import Iterable

# Bidirectional controls, zero-width characters and tags: a reader does not see what a model would read.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]")


def visible(text: str) -> str:
    """Without characters that a person cannot see."""
    return _INVISIBLE.sub("", text)


def defuse(text: str, tokens: Iterable[str]) -> str:
    """Breaks the model's special tokens where code happens to contain them: a server would take them for its own."""
    for token in tokens:
        if len(token) > 1 and not token.startswith("\n") and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
