"""`search` and `context`: ranked code without a language model."""

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import IO, Any

import click

from nearcode.cli import failures, loop, output
from nearcode.cli.options import input_lines, json_option, limit_option, pass_program, repo_option
from nearcode.cli.program import Program
from nearcode.cli.workspaces import Located, find
from nearcode.domain.assistant import Found
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.retrieval import CodeCursor, Query

SECONDS = 30.0
"""Deadline of a question. An answer takes milliseconds; the first one after a cold start may wait for a model to load."""

NOTHING_USEFUL = "no useful context: nothing that is indexed is likely to help"
NEAREST = "; this is the nearest"

TextFile = click.File("r", encoding="utf-8", errors="replace")


@click.command()
@click.argument("query", required=False)
@repo_option
@click.option("--queries", type=TextFile, help="A file of queries, one a line; - for stdin.")
@limit_option(10)
@click.option("--min-score", type=float, default=0.0, show_default=True, help="Leave out what scores less.")
@click.option("--useful", is_flag=True, help="Show nothing when nothing is likely to be useful, as a model gets it.")
@json_option
@pass_program
def search(program: Program, /, query: str | None, repo: str, queries: IO[str] | None, as_json: bool, **wishes: Any) -> int:
    """Find the code that answers QUERY. What is unlikely to help is shown, and said to be."""
    if (query is None) == (queries is None):
        raise click.UsageError("give either QUERY or --queries FILE")
    asked = [(0, query)] if query is not None else input_lines(queries or [])
    wished = Query(everything=not wishes.pop("useful"), **wishes)
    return loop.run(_search(program, repo, asked, wished, as_json))


async def _search(program: Program, repo: str, asked: Iterable[tuple[int, str]], wishes: Query, as_json: bool) -> int:
    bounds = (wishes.limit, wishes.min_score, SECONDS, wishes.everything)
    async with program.client() as client:
        located = await find(client, repo)

        async def one(query: str) -> None:
            began = time.perf_counter()
            found = await client.assistant.search(client.user, [located.workspace()], query, *bounds)
            took = (time.perf_counter() - began) * 1e3
            if as_json:
                output.line({"query": query, **_facts(found, took)})
            else:
                _show(query, found, located, took, NEAREST if found.snippets else "")

        return await each(asked, one)


async def each(asked: Iterable[tuple[int, str]], answer: Callable[[str], Awaitable[None]]) -> int:
    """Answers line by line (line 0 is the argument itself); a line that is wrong is told on stderr and the others go on."""
    code = failures.OK
    for number, text in asked:
        try:
            await answer(text)
        except InvalidRequest as error:
            code = failures.exit_code(error)
            failures.tell(error, f"line {number}: " if number else "")
    return code


def _facts(found: Found, took_ms: float) -> dict[str, object]:
    results = [output.result(snippet) for snippet in found.snippets]
    judged = {"useful": found.report.useful, "probability": found.report.probability}
    return {"results": results, "took_ms": round(took_ms, 3), **judged}


def _show(query: str, found: Found, located: Located, took_ms: float, more: str = "") -> None:
    if not found.report.useful:
        click.secho(NOTHING_USEFUL + more, fg="yellow", err=True)
    output.show(found.snippets, located)
    degraded = f" ({found.report.degraded})" if found.report.degraded else ""
    output.note(f"{len(found.snippets)} results for {query!r} in {took_ms:.0f} ms, plan {found.report.plan}{degraded}")


@click.command()
@repo_option
@click.option(
    "--requests",
    type=TextFile,
    required=True,
    help='A file of {"path", "prefix", "suffix", "limit", "tokens"}, one a line; - for stdin.',
)
@json_option
@pass_program
def context(program: Program, repo: str, requests: IO[str], as_json: bool) -> int:
    """Print the context that completions at these places would get."""
    return loop.run(_context(program, repo, requests, as_json))


async def _context(program: Program, repo: str, requests: IO[str], as_json: bool) -> int:
    async with program.client() as client:
        located = await find(client, repo)

        async def one(text: str) -> None:
            cursor, limit, tokens = parse_request(text)
            began = time.perf_counter()
            found = await client.assistant.context(client.user, located.whole(), cursor, limit, tokens, SECONDS)
            took = (time.perf_counter() - began) * 1e3
            if as_json:
                output.line({"path": cursor.path, **_facts(found, took)})
            else:
                _show(cursor.path, found, located, took)

        return await each(input_lines(requests), one)


def parse_request(text: str) -> tuple[CodeCursor, int, int]:
    """Cursor, limit and tokens of a context request; `path` is relative to the repository. Raises InvalidRequest."""
    try:
        request = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"not JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidRequest("a request is a JSON object")
    for name, kind in (("path", str), ("prefix", str), ("suffix", str), ("limit", int), ("tokens", int)):
        value = request.get(name, "" if name == "suffix" else 0 if kind is int else None)
        if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            wanted = "text" if kind is str else "a whole number, 0 or more"
            raise InvalidRequest(f"`{name}` must be {wanted}", field=name)
    cursor = CodeCursor(request["path"], request["prefix"], request.get("suffix", ""))
    return cursor, request.get("limit", 0) or 10, request.get("tokens", 0)
