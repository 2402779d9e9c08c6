"""Completion prompts. Pure: the same request always gives the same prompt (golden tests in tests/corpus/prompts).

The stable part comes first and is cut in steps (see cutting.py), so that typing on re-reads little of the prompt.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nearcode.domain.language_model import Infill
from nearcode.domain.retrieval import CodeCursor, Snippet
from nearcode.generation.comments import comment
from nearcode.generation.cutting import head, stepped, tail
from nearcode.generation.profiles import Profile
from nearcode.generation.untrusted_text import defuse, visible

# Shares of the allowance. The code before the cursor says most about what follows; retrieved code comes second.
_SUFFIX_SHARE = 0.2
_SNIPPET_SHARE = 0.3
_IMPORT_SHARE = 0.15
# Below this many tokens retrieved code would push out the lines around the cursor.
_SMALLEST_WITH_SNIPPETS = 96
_IMPORT = re.compile(r"^\s*(import|from|use|using|require|#include|package|const .*require)\b")


@dataclass(frozen=True, slots=True)
class CompletionPrompt:
    """A prompt and, for servers that fill in the middle themselves, its parts.

    `typed` is white space before the cursor that the prompt leaves out, because a model without fill-in-the-middle
    continues badly after it; the answer repeats it.
    """

    text: str
    infill: Infill | None
    snippets_used: int
    typed: str = ""


def completion_prompt(profile: Profile, cursor: CodeCursor, snippets: Sequence[Snippet], tokens: int) -> CompletionPrompt:
    """The prompt of at most about `tokens` tokens that continues the code at the cursor."""
    room = int(tokens * profile.chars_per_token)
    suffix = head(cursor.suffix, int(room * _SUFFIX_SHARE)) if profile.fills_in_the_middle else ""
    typed = "" if profile.fills_in_the_middle else _blank_end(cursor.prefix)
    prefix = cursor.prefix.removesuffix(typed)
    wanted = sum(len(snippet.text) for snippet in snippets) if tokens >= _SMALLEST_WITH_SNIPPETS else 0
    kept = min(wanted, int(room * _SNIPPET_SHARE))
    window = _window(prefix, room - len(suffix) - kept)
    context_room = max(kept, stepped(room - len(suffix) - len(window), room)) if wanted else 0
    chosen = _fitting(snippets, context_room)
    context = _context(profile, chosen)
    window, suffix = defuse(window, profile.stop), defuse(suffix, profile.stop)
    text = _assemble(profile, cursor.path, context, window, suffix)
    infill = Infill(context + window, suffix) if profile.fills_in_the_middle else None
    return CompletionPrompt(text, infill, len(chosen), typed)


def _assemble(profile: Profile, path: str, context: str, window: str, suffix: str) -> str:
    if not profile.fills_in_the_middle:
        return f"{context}{comment(path, path)}{window}"
    holds_context = "{context}" in profile.cursor
    text = profile.cursor.format(path=path, prefix=window, suffix=suffix, context=context)
    return text if holds_context else context + text


def _window(prefix: str, room: int) -> str:
    """The code before the cursor; where it must be cut, the file's imports stand above the rest."""
    if len(prefix) <= room:
        return prefix
    imports = head("".join(_imports(prefix)), int(room * _IMPORT_SHARE))
    return imports + tail(prefix, room - len(imports))


def _imports(prefix: str) -> Iterable[str]:
    for line in prefix.splitlines(keepends=True)[:80]:
        if _IMPORT.match(line):
            yield line


def _fitting(snippets: Sequence[Snippet], room: int) -> list[tuple[Snippet, str]]:
    """The best ranked snippets that fit, the last one cut, in the order of their places: a changed rank alone then changes
    nothing in the prompt."""
    chosen: list[tuple[Snippet, str]] = []
    for snippet in snippets:
        text = head(visible(snippet.text).rstrip() + "\n", room)
        if len(text.strip()) < min(20, len(snippet.text.strip())):
            break
        chosen.append((snippet, text))
        room -= len(text) + len(snippet.path)
    return sorted(chosen, key=lambda pair: (pair[0].repository, pair[0].path, pair[0].start_line))


def _context(profile: Profile, chosen: Sequence[tuple[Snippet, str]]) -> str:
    if not chosen:
        return ""
    opening = profile.repository.format(repository=chosen[0][0].repository) if profile.repository else ""
    return opening + "".join(_render(profile, snippet, text) for snippet, text in chosen)


def _render(profile: Profile, snippet: Snippet, text: str) -> str:
    code = defuse(text, profile.stop)
    path = defuse(snippet.path, profile.stop)
    if profile.snippet:
        return profile.snippet.format(path=path, text=code)
    return comment(path, f"{path}\n{code}") + "\n"


def _blank_end(prefix: str) -> str:
    return prefix[len(prefix.rstrip(" \t")) :]
