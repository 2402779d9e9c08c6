"""`index`, `status` and `files`: what the index holds and how it gets there."""

import asyncio
from pathlib import Path

import click

from nearcode.cli import loop, output
from nearcode.cli.failures import FAILED, OK
from nearcode.cli.options import json_option, pass_program, repo_completion
from nearcode.cli.program import Client, Program
from nearcode.cli.progress import Show, progress
from nearcode.cli.workspaces import Located, folder_url, locate, shown_name
from nearcode.domain.errors import NotFound, Reason
from nearcode.domain.repository import FileState, FileStatus, RepositoryState, RepositoryStatus

_FIRST_POLL, _LAST_POLL = 0.02, 0.2
"""Seconds between two looks at a repository: soon at first, for a one-file change is indexed at once."""

_COLORS = {FileState.INDEXED: "green", FileState.SKIPPED: "yellow", FileState.FAILED: "red"}


@click.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@pass_program
def index(program: Program, path: Path, as_json: bool) -> int:
    """Index a folder or a git work tree, or bring its index up to date."""
    return loop.run(_index(program, path, as_json))


async def _index(program: Program, path: Path, as_json: bool) -> int:
    async with program.client() as client:
        with progress(click.get_current_context().color is False) as show:
            status = await build(client, path, show)
        if status.state is RepositoryState.FAILED:
            click.secho(f"error: {shown_name(status)}: {status.error or 'indexing failed'}", err=True, fg="red")
            return FAILED
        if as_json:
            output.line(await facts(client, status))
        else:
            click.echo(f"{shown_name(status)}: {status.files} files, {status.chunks} chunks in {status.seconds:.1f} s")
    return OK


async def build(client: Client, path: Path, show: Show) -> RepositoryStatus:
    """Connects a folder and waits until its present state is searchable, or failed."""
    user, repositories = client.user, client.repositories
    connected = await repositories.connect(user, folder_url(path))
    wanted = status = await repositories.sync(user, connected.id)
    pause = _FIRST_POLL
    while status.generation < wanted.generation or status.state not in (RepositoryState.READY, RepositoryState.FAILED):
        show(status)
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, _LAST_POLL)
        status = await repositories.get(user, connected.id)
    return status


async def facts(client: Client, status: RepositoryStatus) -> dict[str, object]:
    """A served revision as tools get it. `digest` maps each index space to its digest."""
    return {
        "repository": shown_name(status),
        "revision": status.revision,
        "files": status.files,
        "chunks": status.chunks,
        "seconds": round(status.seconds, 3),
        "digest": await client.repositories.digest(client.user, status.id),
    }


@click.command()
@json_option
@pass_program
def status(program: Program, as_json: bool) -> None:
    """List what is indexed and how far it has come."""
    loop.run(_status(program, as_json))


async def _status(program: Program, as_json: bool) -> None:
    async with program.client() as client:
        statuses = await client.repositories.list_repositories(client.user)
        for one in sorted(statuses, key=shown_name):
            if as_json:
                output.line({**await facts(client, one), "state": one.state.value})
            else:
                click.echo(_row(await client.repositories.get(client.user, one.id)))
    if not statuses and not as_json:
        output.note("nothing is indexed yet; begin with `nearcode index PATH`")


def _row(status: RepositoryStatus) -> str:
    building = status.progress
    parts = [status.state.value, f"{status.files} files", f"{status.chunks} chunks"]
    if status.revision:
        parts.append(f"revision {status.revision[:12]}")
    if status.anew:
        parts.append(f"{building.files_done}/{building.files_total} files indexed anew")
    elif status.state is RepositoryState.INDEXING and building.files_total:
        parts.append(f"{building.files_done}/{building.files_total} files of the next revision")
    parts += [
        f"{one.space} {one.ratio:.0%}" + (f" of {one.profile}" if one.role == "building" else "")
        for one in status.coverage
        if one.role != "previous"
    ]
    if status.error:
        parts.append(status.error)
    return output.one_line(f"{shown_name(status)}: {', '.join(parts)}")


@click.command()
@click.argument("path", default=".", shell_complete=repo_completion)
@click.option("--state", type=click.Choice([state.value for state in FileState]), help="Only files in this state.")
@json_option
@pass_program
def files(program: Program, path: str, state: str | None, as_json: bool) -> None:
    """List every file below PATH with its state, and why it is not in the index."""
    loop.run(_files(program, path, state, as_json))


async def _files(program: Program, path: str, state: str | None, as_json: bool) -> None:
    async with program.client() as client:
        located = locate(await client.repositories.list_repositories(client.user), path)
        listed = await client.repositories.list_files(client.user, located.status.id)
    below = [one for one in listed if _inside(one.path, located.inside)]
    if located.inside and not below:
        raise NotFound(f"the index knows no file at {path}", Reason.FILE_NOT_FOUND)
    for one in sorted((one for one in below if state in (None, one.state.value)), key=lambda one: one.path):
        if as_json:
            output.line({"path": one.path, "state": one.state.value, "reason": one.reason, "chunks": one.chunks})
        else:
            click.echo(_file_row(one, located))


def _inside(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _file_row(file: FileStatus, located: Located) -> str:
    state = click.style(f"{file.state.value:<8}", fg=_COLORS[file.state])
    about = file.reason or f"{file.chunks} chunks"
    return f"{state} {output.one_line(output.place(located.file(file.path)))}  {output.one_line(about)}"
