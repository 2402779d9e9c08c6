"""`complete` and `ask`: answers written by a language model, with the code they are made from."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import click

from nearcode.cli import loop, output
from nearcode.cli.options import deadline_option, json_option, pass_program, repo_completion, repo_option
from nearcode.cli.places import Place, clickable, parse_place, read_source, split_at
from nearcode.cli.program import Client, Program
from nearcode.cli.waterfall import waterfall
from nearcode.cli.workspaces import Located, find
from nearcode.domain.assistant import Part, Report, Sources
from nearcode.domain.completion import Message
from nearcode.domain.retrieval import CodeCursor, Snippet

BETTER_MODEL = "name a better one: NEARCODE_GENERATION__URL=http://HOST:PORT of vLLM, Ollama or llama.cpp"

COMPLETE_MS, ASK_MS = 10_000, 30_000
"""Default deadlines: what a person at a terminal waits, the start of the embedded model included. An editor allows less."""


@dataclass(slots=True)
class Answer:
    """A stream of parts, put together."""

    snippets: tuple[Snippet, ...] = ()
    text: str = ""
    report: Report = field(default_factory=lambda: Report(id="", plan="empty"))


async def collect(parts: AsyncGenerator[Part, None], echo: bool) -> Answer:
    """Reads a stream to its end; `echo` prints text as it comes."""
    answer = Answer()
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Sources):
                answer.snippets = part.snippets
            elif isinstance(part, Report):
                answer.report = part
            else:
                answer.text += part
                if echo:
                    click.echo(output.printable(part), nl=False)
    if echo and answer.text and not answer.text.endswith("\n"):
        click.echo()
    return answer


@click.command()
@click.argument("place", metavar="FILE:LINE:COLUMN", shell_complete=repo_completion)
@deadline_option(COMPLETE_MS)
@click.option("--trace", is_flag=True, help="Show where the time went.")
@json_option
@pass_program
def complete(program: Program, place: str, deadline: int, trace: bool, as_json: bool) -> None:
    """Complete the code at FILE:LINE:COLUMN; both count from 1, columns in code points."""
    parsed = parse_place(place)
    prefix, suffix = split_at(read_source(parsed.file), parsed.line, parsed.column, str(parsed.file))
    loop.run(_complete(program, parsed, (prefix, suffix), deadline, (trace, as_json)))


async def _complete(program: Program, place: Place, code: tuple[str, str], deadline: int, shape: tuple[bool, bool]) -> None:
    trace, as_json = shape
    async with program.client() as client:
        located = await find(client, str(place.file))
        answer = await complete_at(client, located, code, deadline, not as_json)
    if as_json:
        output.line(completion_facts(answer))
    else:
        _sources(answer, located)
        output.note(signature(answer.report))
    if trace:
        show_trace(answer, deadline)


async def complete_at(client: Client, located: Located, code: tuple[str, str], deadline: int, echo: bool) -> Answer:
    """Completes between the two pieces of code of the file that `located` names."""
    cursor = CodeCursor(located.inside, *code)
    await client.warm_model()
    return await collect(client.assistant.complete(client.user, located.whole(), cursor, 0, 0, deadline / 1e3), echo)


def completion_facts(answer: Answer) -> dict[str, object]:
    """A completion as tools get it."""
    stages = [
        {"stage": stage.name, "allotted_ms": round(stage.allotted_ms, 3), "spent_ms": round(stage.spent_ms, 3)}
        for stage in answer.report.stages
    ]
    return {
        "completion": answer.text,
        "plan": answer.report.plan,
        "model": answer.report.model,
        "sources": [output.result(snippet) for snippet in answer.snippets],
        "budget": stages,
    }


@click.command()
@click.argument("question")
@repo_option
@deadline_option(ASK_MS)
@click.option("--trace", is_flag=True, help="Show where the time went.")
@json_option
@pass_program
def ask(program: Program, question: str, repo: str, deadline: int, trace: bool, as_json: bool) -> None:
    """Answer a question about the code, with citations."""
    loop.run(_ask(program, question, repo, deadline, (trace, as_json)))


async def _ask(program: Program, question: str, repo: str, deadline: int, shape: tuple[bool, bool]) -> None:
    trace, as_json = shape
    async with program.client() as client:
        located = await find(client, repo)
        answer = await ask_about(client, located, question, deadline, not as_json)
    if as_json:
        output.line(answer_facts(answer))
    else:
        show_citations(answer, located)
        output.note(signed(answer.report))
    if trace:
        show_trace(answer, deadline)


async def ask_about(client: Client, located: Located, question: str, deadline: int, echo: bool) -> Answer:
    """Asks one question about one repository."""
    messages = [Message("user", question)]
    await client.warm_model()
    return await collect(client.assistant.chat(client.user, [located.workspace()], messages, 0, deadline / 1e3), echo)


def answer_facts(answer: Answer) -> dict[str, object]:
    """An answer as tools get it."""
    return {
        "answer": answer.text,
        "citations": [output.citation(snippet) for snippet in answer.snippets],
        "plan": answer.report.plan,
        "model": answer.report.model,
    }


def show_citations(answer: Answer, located: Located) -> None:
    """The cited code, below the answer."""
    for number, snippet in enumerate(answer.snippets, 1):
        click.echo(f"[{number}] {output.heading(snippet, located)}")


def _sources(answer: Answer, located: Located) -> None:
    """The sources of a completion go to stderr: on stdout is code."""
    for snippet in answer.snippets:
        output.note(f"from {clickable(located.file(snippet.path), snippet.start_line)}")


def signed(report: Report) -> str:
    """Plan and model. An answer in words says itself whether its model can be trusted."""
    plan = f"plan {report.plan}" + (f" ({report.degraded})" if report.degraded else "")
    return f"{plan}, {f'model {report.model}' if report.model else 'no model answered'}"


def signature(report: Report) -> str:
    """Plan and model, and how to name a better one if this one is too small to be trusted."""
    return signed(report) + (f", a small one; {BETTER_MODEL}" if report.untrusted or not report.model else "")


def show_trace(answer: Answer, deadline: int, err: bool = True) -> None:
    """The waterfall, on stderr unless it is what was asked for."""
    for row in waterfall(answer.report.stages, deadline):
        click.echo(row, err=err)
    if answer.report.trace_id:
        output.note(f"trace {answer.report.trace_id}", err=err)
