"""What is printed: one JSON object a line for tools, `path:line` for people; notes go to stderr."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from nearcode.cli.places import clickable
from nearcode.cli.workspaces import Located
from nearcode.domain.retrieval import Snippet

PREVIEW = 4
"""Lines of a snippet that a person sees."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def line(value: Mapping[str, object]) -> None:
    """One JSON object on stdout, flushed, so that a reader at the other end of a pipe has it at once."""
    click.echo(json.dumps(value))


def note(text: str, err: bool = True) -> None:
    """A line for the person, on stderr unless stdout is for people anyway."""
    click.secho(printable(text), err=err, dim=True)


def printable(text: str) -> str:
    """Text from a repository without what could steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\t", "    "))


def one_line(text: str) -> str:
    """Like `printable`, without line feeds."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def place(path: Path) -> str:
    """A path as `path:1`, so that a terminal makes it clickable."""
    return clickable(path, 1)


def result(snippet: Snippet) -> dict[str, object]:
    """A ranked snippet as tools get it."""
    return {
        "path": snippet.path,
        "start_line": snippet.start_line,
        "end_line": snippet.end_line,
        "score": snippet.score,
        "reasons": dict(snippet.reasons),
        "text": snippet.text,
        "probability": snippet.probability,
    }


def citation(snippet: Snippet) -> dict[str, object]:
    """Where a snippet stands."""
    return {"path": snippet.path, "start_line": snippet.start_line, "end_line": snippet.end_line}


def heading(snippet: Snippet, located: Located) -> str:
    """`path:line` and what is defined there."""
    place = one_line(clickable(located.file(snippet.path), snippet.start_line))
    names = one_line(", ".join(snippet.definitions[:3]))
    return click.style(place, fg="cyan") + (f" {click.style(names, bold=True)}" if names else "")


def scored(snippet: Snippet, located: Located) -> str:
    """The heading with the score."""
    return f"{heading(snippet, located)} ({snippet.score:.3f})"


def show(snippets: Iterable[Snippet], located: Located) -> None:
    """Snippets for a person, with their first lines."""
    for snippet in snippets:
        click.echo(scored(snippet, located))
        for text in printable(snippet.text).splitlines()[:PREVIEW]:
            click.secho(f"    {text}", dim=True)


def reasons(snippet: Snippet) -> str:
    """The contributions to a score, largest first."""
    parts = sorted(snippet.reasons.items(), key=lambda part: -abs(part[1]))
    return " ".join(f"{name} {value:+.3f}" for name, value in parts)
