"""`models use` and its like: which model answers for an index space."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from nearcode.cli import loop, output
from nearcode.cli.failures import FAILED, OK
from nearcode.cli.models import models as models
from nearcode.cli.options import json_option, pass_program
from nearcode.cli.program import Program
from nearcode.domain.spaces import CHAT, Comparison, Coverage, Models, SpaceStatus

_POLL = 0.5
"""Seconds between two looks at how far a collection is filled."""
_TOLD = 10.0
"""Seconds between two lines where there is no terminal."""

Tell = Callable[[Coverage], None]

space_option = click.option("--space", default=CHAT, show_default=True, help="The index space.")


@models.command("spaces")
@json_option
@pass_program
def spaces(program: Program, as_json: bool) -> None:
    """Show which model answers for each index space, and how far each collection is filled."""

    async def run() -> None:
        async with program.client() as client:
            statuses = await client.models.list_spaces()
        for status in statuses:
            _tell(status, as_json)
        if not statuses and not as_json:
            output.note("no chat space: `nearcode models pull bge-small-en-v1-5` gives it a model")

    loop.run(run())


@models.command()
@click.argument("name")
@space_option
@click.option("--swap/--no-swap", default=True, help="Let it answer as soon as it is filled, or wait for `models swap`.")
@json_option
@pass_program
def use(program: Program, name: str, space: str, swap: bool, as_json: bool) -> int:
    """Fill another model's collection beside the one that answers, compare the two, and swap.

    Questions are answered all the while, each by one model. Ctrl-C leaves it filling; the same command goes on.
    """
    return loop.run(_use(program, name, space, swap, as_json))


async def _use(program: Program, name: str, space: str, swap: bool, as_json: bool) -> int:
    async with program.client() as client:
        status = await client.models.use(space, name)
        if status.state.building:
            filled = await _wait(client.models, space)
            if filled.error:
                click.secho(f"error: {name} cannot be filled: {filled.error}", err=True, fg="red")
                return FAILED
            compared = await client.models.compare(space, 0)
            if not as_json:
                _tell_comparison(compared)
            if swap:
                status = await client.models.swap(space)
    _tell(status, as_json)
    return OK


async def _wait(models: Models, space: str) -> Coverage:
    """Until the collection that is built beside is filled, or failed."""
    with _progress() as tell:
        while True:
            status = next(one for one in await models.list_spaces() if one.state.space == space)
            building = next((one for one in status.coverage if one.role == "building"), None)
            if building is None or building.ratio >= 1.0 or building.error:
                return building or Coverage(space, "", "building", 0, 0)
            tell(building)
            await asyncio.sleep(_POLL)


@models.command()
@space_option
@json_option
@pass_program
def swap(program: Program, space: str, as_json: bool) -> None:
    """Let the model that was filled beside answer from now on."""
    loop.run(_change(program, "swap", space, as_json))


@models.command("rollback")
@space_option
@json_option
@pass_program
def roll_back(program: Program, space: str, as_json: bool) -> None:
    """Let the model before answer again. Its collection was kept up to date: this takes no time."""
    loop.run(_change(program, "roll_back", space, as_json))


@models.command()
@space_option
@json_option
@pass_program
def abandon(program: Program, space: str, as_json: bool) -> None:
    """Give up the model that is filled beside, and delete its collection."""
    loop.run(_change(program, "abandon", space, as_json))


@models.command()
@space_option
@click.option("--questions", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Questions at most.")
@json_option
@pass_program
def compare(program: Program, space: str, questions: int, as_json: bool) -> None:
    """Ask both models of a space the same questions, made from the documentation of indexed definitions."""

    async def run() -> None:
        async with program.client() as client:
            compared = await client.models.compare(space, questions)
        if as_json:
            output.line({name: getattr(compared, name) for name in compared.__slots__})
        else:
            _tell_comparison(compared)

    loop.run(run())


async def _change(program: Program, change: str, space: str, as_json: bool) -> None:
    async with program.client() as client:
        status: SpaceStatus = await getattr(client.models, change)(space)
    _tell(status, as_json)


def _tell(status: SpaceStatus, as_json: bool) -> None:
    state = status.state
    if as_json:
        filled = {one.role: {"files": one.files_done, "of": one.files_total, "error": one.error} for one in status.coverage}
        output.line({**state.dump(), "filled": filled})
        return
    for one in status.coverage:
        profile = click.style(one.profile, fg="cyan")
        error = f", {one.error}" if one.error else ""
        click.echo(f"{state.space:<12} {one.role:<9} {profile}  {one.files_done}/{one.files_total} files{error}")
    if not status.coverage:
        click.echo(f"{state.space:<12} {'active':<9} {click.style(state.active, fg='cyan')}")


def _tell_comparison(compared: Comparison) -> None:
    click.echo(
        f"{compared.questions} questions from indexed code, mean reciprocal rank of the right file: "
        f"{compared.active_profile} {compared.active:.3f}, {compared.other_profile} {compared.other:.3f}; "
        f"{compared.agreement:.0%} of the first ten files agree"
    )


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("filling", total=None)
            yield lambda one: bar.update(task, completed=one.files_done, total=one.files_total)
        return
    yield _Lines()


class _Lines:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._told = asyncio.get_running_loop().time()

    def __call__(self, one: Coverage) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told >= _TOLD:
            self._told = now
            click.echo(f"filling {one.profile}: {one.files_done}/{one.files_total} files", err=True)
