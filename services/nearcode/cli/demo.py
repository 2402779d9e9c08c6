"""`demo`: index a project, then search, complete and ask, as a first look at what nearcode does."""

import shlex
from pathlib import Path

import click

from nearcode.cli import loop, output
from nearcode.cli.answers import ASK_MS, COMPLETE_MS, ask_about, complete_at, show_citations, show_trace, signature, signed
from nearcode.cli.failures import FAILED, OK
from nearcode.cli.indexing import build
from nearcode.cli.options import pass_program
from nearcode.cli.places import read_source
from nearcode.cli.program import Client, Program
from nearcode.cli.progress import progress
from nearcode.cli.showcase import FLASK, Showcase, cut_line, fetch, of_own_code
from nearcode.cli.workspaces import Located, find
from nearcode.domain.repository import RepositoryState
from nearcode.domain.retrieval import Snippet

SECONDS = 30.0
"""Deadline of the search; it includes loading the embedding model."""


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@pass_program
def demo(program: Program, path: Path | None) -> int:
    """Index a well-known project, or the one at PATH, then search it, complete in it and ask about it."""
    showcase = of_own_code() if path else FLASK
    folder = path or fetch(FLASK, program.home_dir() / "demo")
    return loop.run(_demo(program, folder.resolve(), showcase))


async def _demo(program: Program, folder: Path, showcase: Showcase) -> int:
    async with program.client() as client:
        _title("index", str(folder))
        with progress(click.get_current_context().color is False) as show:
            status = await build(client, folder, show)
        if status.state is RepositoryState.FAILED:
            click.secho(f"error: {status.error or 'indexing failed'}", err=True, fg="red")
            return FAILED
        click.echo(f"{status.files} files, {status.chunks} chunks in {status.seconds:.1f} s")
        located = await find(client, str(folder))
        best = await _search(client, located, showcase.query)
        await _complete(client, located, showcase, best)
        await _ask(client, located, showcase.question)
    click.echo(f"\nNow your own code: nearcode demo PATH. Everything is kept in {program.home_dir()}")
    return OK


def _title(*arguments: str) -> None:
    click.echo(f"\n{click.style('$ nearcode ' + output.one_line(shlex.join(arguments)), bold=True)}")


async def _search(client: Client, located: Located, query: str) -> Snippet | None:
    _title("search", query, "--repo", str(located.root), "--limit", "3")
    found = await client.assistant.search(client.user, [located.workspace()], query, 3, 0.0, SECONDS)
    output.show(found.snippets, located)
    return next(iter(found.snippets), None)


async def _complete(client: Client, located: Located, showcase: Showcase, best: Snippet | None) -> None:
    path = showcase.file or (best.path if best else "")
    cut = cut_line(read_source(located.file(path)), showcase.anchor, best.start_line if best else 1) if path else None
    if not cut:
        return
    place = Located(located.status, located.root, path)
    _title("complete", f"{located.file(path)}:{cut.line}:{cut.column}", "--trace")
    answer = await complete_at(client, place, (cut.prefix, cut.suffix), COMPLETE_MS, echo=False)
    click.echo(f"before the cursor: {output.one_line(cut.before)}")
    click.echo(f"suggested:         {click.style(output.printable(answer.text).rstrip() or '(nothing)', fg='green')}")
    click.echo(f"the author wrote:  {output.one_line(cut.taken)}")
    for snippet in answer.snippets:
        click.echo(f"from {output.heading(snippet, located)}")
    output.note(signature(answer.report), err=False)
    show_trace(answer, COMPLETE_MS, err=False)


async def _ask(client: Client, located: Located, question: str) -> None:
    _title("ask", question, "--repo", str(located.root))
    answer = await ask_about(client, located, question, ASK_MS, echo=True)
    click.echo("\nMade from:")
    show_citations(answer, located)
    output.note(signed(answer.report), err=False)
    show_trace(answer, ASK_MS, err=False)
