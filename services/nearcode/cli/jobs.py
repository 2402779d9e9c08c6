"""`work`: what the pods of an indexing Job run."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

from nearcode.cli import loop, output
from nearcode.cli.failures import OK, TERMINATED
from nearcode.cli.options import json_option, pass_program
from nearcode.cli.program import Program
from nearcode.cli.progress import EVERY

Show = Callable[[str], None]


@click.command()
@click.argument("repository")
@click.option("--generation", type=click.IntRange(1), required=True, help="The generation that is to be built.")
@json_option
@pass_program
def work(program: Program, repository: str, generation: int, as_json: bool) -> int:
    """Help with the first index, or a large backlog, of one repository until it is done.

    REPOSITORY: its id. Several may run at once. The other services run elsewhere, with `events.bulk = false`. Ends with 0 when
    nothing of the repository is left to do, and with 143 when it was stopped (SIGTERM) before.
    """
    began, told = time.monotonic(), dict[str, int]()

    def ready(addresses: dict[str, str]) -> None:
        if as_json:
            output.line({"repository": repository, "generation": generation, **addresses})
        else:
            output.note(f"working on generation {generation} of {repository}", err=False)

    with _status(quiet=as_json) as show:

        def tell(left: Mapping[str, int]) -> None:
            if as_json and left != told:
                output.line(left)
            told.update(left)
            show(", ".join(f"{count} {stage}" for stage, count in left.items()) + " messages left")

        ended = loop.run(program.work(repository, generation, ready, tell))
    seconds = time.monotonic() - began
    if as_json:
        output.line({"ended": ended or "stopped", "seconds": round(seconds, 1)})
    else:
        output.note(f"{ended or 'stopped with work left'} after {seconds:.0f} s", err=False)
    return OK if ended else TERMINATED


@contextmanager
def _status(quiet: bool) -> Iterator[Show]:
    """Yields what shows how far the work is: in place on a terminal, as a line now and then elsewhere."""
    if quiet:
        yield lambda text: None
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("") as status:
            yield status.update
    else:
        shown = time.monotonic()

        def now_and_then(text: str) -> None:
            nonlocal shown
            if time.monotonic() - shown >= EVERY:
                shown = time.monotonic()
                output.note(text)

        yield now_and_then
