"""`config` and `completion`: settings, and the shell's own."""

from pathlib import Path

import click
from click.shell_completion import get_completion_class

from nearcode.cli.options import pass_program
from nearcode.cli.program import Program


@click.group()
def config() -> None:
    """Print the settings, or check a file of them."""


@config.command("print")
@click.option("--diff", is_flag=True, help="Only what differs from the defaults.")
@pass_program
def print_settings(program: Program, diff: bool) -> None:
    """Print the settings as TOML."""
    click.echo(program.dump(diff).rstrip("\n"))


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@pass_program
def check(program: Program, file: Path) -> None:
    """Check a settings file without using it."""
    Program(config=file, home=program.home).settings()
    click.echo(f"{file}: ok")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete nearcode's commands."""
    script = get_completion_class(shell)
    assert script, shell
    click.echo(script(ctx.find_root().command, {}, "nearcode", "_NEARCODE_COMPLETE").source())
