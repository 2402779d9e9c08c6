"""The `nearcode` command: global options, the commands, and what each failure prints."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nearcode.cli import (
    answers,
    configuration,
    demo,
    engine,
    evaluation,
    explaining,
    failures,
    indexing,
    jobs,
    quarantine,
    questions,
    spaces,
)
from nearcode.cli.loop import Terminated
from nearcode.cli.program import Program
from nearcode.domain.errors import NearcodeError


class ReaderLeft(Exception):
    """Whoever read our output has gone, as `head` does."""


class Commands(click.Group):
    """Tells a reader that left from other ends: click itself would make it exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nearcode", prog_name="nearcode")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--home", type=click.Path(path_type=Path), help="Where everything is kept. Default: the platform's data folder.")
@click.option("--no-color", is_flag=True, help="No colors; so does the environment variable NO_COLOR.")
@click.option("--no-color-variable", envvar="NO_COLOR", hidden=True)
@click.pass_context
def nearcode(ctx: click.Context, config: Path | None, home: Path | None, no_color: bool, no_color_variable: str | None) -> None:
    """Make a code assistant know your code: index it, then search, complete and ask.

    \b
    Begin with:  nearcode index .
                 nearcode search "where are sessions signed"
                 nearcode ask "how does login work"

    Exit codes: 0 ok, 1 failed, 2 wrong usage or request, 3 not found, 4 not available now, 130 interrupted.
    """
    program = ctx.ensure_object(Program)
    program.config, program.home = config, home.expanduser().absolute() if home else None
    if no_color or no_color_variable:
        ctx.color = False


for _command in (
    engine.run, jobs.work, indexing.index, indexing.status, indexing.files, questions.search, questions.context,
    explaining.explain, evaluation.evaluation, answers.complete, answers.ask, demo.demo, engine.doctor, engine.logs,
    spaces.models, quarantine.dead, configuration.config, configuration.completion,
):  # fmt: skip
    nearcode.add_command(_command)


def main(arguments: Sequence[str] | None = None, program: Program | None = None) -> int:
    """Runs one command and returns its exit code; every failure has been told on stderr."""
    program = program or Program()
    try:
        code = nearcode.main(arguments, prog_name="nearcode", standalone_mode=False, obj=program)
        sys.stdout.flush()
    except NearcodeError as error:
        failures.tell(error)
        return failures.exit_code(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return failures.INTERRUPTED
    except Terminated:
        return failures.TERMINATED
    except (BrokenPipeError, ReaderLeft):
        return _reader_left()
    except Exception as error:  # noqa: BLE001 - the last line of defense: a bug is logged, and told in one line
        return _bug(error, program)
    return code if isinstance(code, int) else failures.OK


def _reader_left() -> int:
    """Nothing more is written, not even what Python flushes when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return failures.BROKEN_PIPE


def _bug(error: Exception, program: Program) -> int:
    click.secho(f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}", err=True, fg="red")
    try:
        file = program.log_dir() / "cli.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8", errors="replace") as log:
            log.write("".join(traceback.format_exception(error)))
        click.echo(f"  details: {file}", err=True)
    except (NearcodeError, ImportError, OSError):
        traceback.print_exception(error)
    return failures.FAILED
