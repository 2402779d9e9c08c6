"""`run`, `doctor` and `logs`: the engine itself."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from nearcode.cli import loop, output
from nearcode.cli.failures import FAILED, OK
from nearcode.cli.options import json_option, pass_program
from nearcode.cli.program import Check, Program

TARGETS = ("all", "gateway", "ingestion", "chunking", "embedding", "retrieval", "generation")

_POLL = 0.25
"""Seconds between two looks at growing logs."""


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(TARGETS), metavar="[TARGET]...")
@json_option
@pass_program
def run(program: Program, targets: Sequence[str], as_json: bool) -> None:
    """Run the engine, or some of its services, until it is stopped.

    TARGET: gateway, ingestion, chunking, embedding, retrieval, generation; without one, all of them in one process.
    """

    def ready(addresses: dict[str, str]) -> None:
        if as_json:
            output.line(addresses)
            return
        for name, address in addresses.items():
            click.echo(f"{name:<6} {address}")
        output.note("ready; stop it with Ctrl-C")

    loop.run(program.run(targets or ("all",), ready))


@click.command()
@json_option
@pass_program
def doctor(program: Program, as_json: bool) -> int:
    """Check each dependency: found, version, healthy, what to do."""
    checks = loop.run(program.doctor())
    for check in checks:
        if as_json:
            output.line({name: getattr(check, name) for name in ("name", "found", "version", "healthy", "todo")})
        else:
            _show(check, max(len(one.name) for one in checks))
    return OK if all(check.healthy for check in checks) else FAILED


def _show(check: Check, width: int) -> None:
    mark = click.style("ok  ", fg="green") if check.healthy else click.style("FAIL", fg="red")
    about = " ".join(filter(None, (check.version, check.found)))
    click.echo(f"{mark} {check.name:<{width}}  {about or 'not found'}")
    if check.todo:
        click.echo(f"     {'':<{width}}  {check.todo}")


@click.command()
@click.option("--follow", is_flag=True, help="Go on printing what is added, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(0), default=50, show_default=True, help="Last lines of each file.")
@pass_program
def logs(program: Program, follow: bool, lines: int) -> None:
    """Print the engine's logs."""
    folder = program.log_dir()
    ends = {}
    for file in _files(folder):
        for text in _tail(file, lines):
            _print(file, text)
        ends[file] = file.stat().st_size
    if not ends:
        output.note(f"no logs in {folder} yet")
    while follow:
        time.sleep(_POLL)
        for file in _files(folder):
            ends[file] = _print_new(file, ends.get(file, 0))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def _print(file: Path, text: str) -> None:
    click.echo(f"{click.style(file.stem, fg='cyan')}  {output.printable(text)}")


def _tail(file: Path, count: int) -> list[str]:
    """The last lines of a file, read from its last megabyte."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 2**20))
        return opened.read().decode("utf-8", "replace").splitlines()[-count:] if count else []


def _print_new(file: Path, start: int) -> int:
    """Prints the whole lines after `start`; a file that shrank was rotated and is read anew. Returns where it stopped."""
    start = start if start <= file.stat().st_size else 0
    for text, end in _lines_from(file, start):
        _print(file, text)
        start = end
    return start


def _lines_from(file: Path, start: int) -> Iterator[tuple[str, int]]:
    with file.open("rb") as opened:
        opened.seek(start)
        while (data := opened.readline()).endswith(b"\n"):
            yield data.decode("utf-8", "replace").rstrip("\n"), opened.tell()
