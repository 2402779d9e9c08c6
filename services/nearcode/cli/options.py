"""Arguments and options that several commands share."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from nearcode.cli.program import Program
from nearcode.domain.errors import InvalidRequest

F = TypeVar("F", bound=Callable[..., Any])

pass_program = click.make_pass_decorator(Program)

LONGEST_LINE = 10_000_000
"""Code points of one input line: more than any engine takes in a request."""


def repo_completion(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Lets the shell complete file names."""
    return [CompletionItem(incomplete, type="file")]


def json_option(command: F) -> F:
    """`--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")(command)


def repo_option(command: F) -> F:
    """`--repo PATH`: an indexed folder, a path inside one, or the URL of a connected repository."""
    return click.option(
        "--repo",
        default=".",
        metavar="PATH",
        shell_complete=repo_completion,
        help="An indexed folder or a path inside one. Default: the working directory.",
    )(command)


def limit_option(default: int) -> Callable[[F], F]:
    """`--limit N`."""
    return click.option("--limit", type=click.IntRange(1, 200), default=default, show_default=True, help="Results at most.")


def deadline_option(default: int) -> Callable[[F], F]:
    """`--deadline MS`, in milliseconds."""
    return click.option(
        "--deadline",
        type=click.IntRange(10, 600_000),
        default=default,
        show_default=True,
        metavar="MS",
        help="Milliseconds until the answer must be whole.",
    )


def input_lines(source: Iterable[str]) -> Iterable[tuple[int, str]]:
    """The lines of an input that are not blank, with their numbers from 1."""
    for number, text in enumerate(source, 1):
        if len(text) > LONGEST_LINE:
            raise InvalidRequest(f"line {number} is longer than {LONGEST_LINE:,} characters")
        if text.strip():
            yield number, text.rstrip("\r\n")
