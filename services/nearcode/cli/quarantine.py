"""`dead`: messages that were given up, and a way to try them again."""

from collections.abc import Sequence

import click

from nearcode.cli import loop, output
from nearcode.cli.options import json_option, pass_program
from nearcode.cli.program import DeadLetter, Program

FIELDS = ("id", "subject", "event", "repository", "reason", "error", "when", "deliveries")


@click.group()
def dead() -> None:
    """List or replay messages that were given up after their last retry."""


@dead.command("list")
@json_option
@pass_program
def list_letters(program: Program, as_json: bool) -> None:
    """List the messages in quarantine."""
    letters = loop.run(_list(program))
    for letter in letters:
        if as_json:
            output.line({name: _plain(getattr(letter, name)) for name in FIELDS})
        else:
            about = f"{letter.event} {letter.repository} after {letter.deliveries} deliveries: {letter.reason} {letter.error}"
            click.echo(f"{click.style(letter.id, fg='cyan')} {letter.when} {output.one_line(about)}")
    if not letters and not as_json:
        output.note("no dead messages")


async def _list(program: Program) -> Sequence[DeadLetter]:
    async with program.dead_letters() as letters:
        return await letters.list()


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) else str(value)


@dead.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Replay every message.")
@pass_program
def replay(program: Program, ids: Sequence[str], everything: bool) -> None:
    """Send messages to where they came from, by id or all."""
    if bool(ids) == everything:
        raise click.UsageError("give either IDs or --all")
    count = loop.run(_replay(program, None if everything else ids))
    click.echo(f"{count} replayed")


async def _replay(program: Program, ids: Sequence[str] | None) -> int:
    async with program.dead_letters() as letters:
        return await letters.replay(ids)
