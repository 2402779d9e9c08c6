"""`explain`: why results rank as they do, why others lost, and how likely any of it is useful."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nearcode.cli import loop, output
from nearcode.cli.options import json_option, limit_option, pass_program, repo_completion, repo_option
from nearcode.cli.places import parse_place, read_source, split_at
from nearcode.cli.program import Program
from nearcode.cli.questions import NOTHING_USEFUL, SECONDS
from nearcode.cli.workspaces import Located, find
from nearcode.domain.assistant import Found
from nearcode.domain.retrieval import CodeCursor, Query, Snippet

NEAR_MISSES = 10
"""Near misses that a person sees; `--json` has all of them."""
BAR = 24
"""Characters of the longest bar."""

_PLACE = re.compile(r"\S+:\d+:\d+")


@click.command()
@click.argument("query", metavar='"QUESTION"|FILE:LINE:COLUMN', shell_complete=repo_completion)
@repo_option
@limit_option(10)
@click.option("--tokens", type=click.IntRange(0), default=0, help="Room of the prompt. 0: no limit.", show_default=True)
@click.option("--all", "everything", is_flag=True, help="Also what is unlikely to be useful.")
@json_option
@pass_program
def explain(program: Program, /, query: str, repo: str, as_json: bool, **wishes: Any) -> None:
    """Show why results rank as they do, and why others lost.

    For a question, or for the context that a completion at FILE:LINE:COLUMN would get.
    """
    if is_place(query):
        place = parse_place(query)
        cursor = CodeCursor("", *split_at(read_source(place.file), place.line, place.column, str(place.file)))
        asked, repo = Query(cursor=cursor, **wishes), str(place.file)
    else:
        asked = Query(question=query, **wishes)
    loop.run(_explain(program, query, repo, asked, as_json))


def is_place(text: str) -> bool:
    """Whether an argument is a place in a file: a question may end like one, but does not name a file that is there."""
    return bool(_PLACE.fullmatch(text)) or (text.count(":") > 1 and Path(text.rsplit(":", 2)[0]).is_file())


async def _explain(program: Program, query: str, repo: str, asked: Query, as_json: bool) -> None:
    async with program.client() as client:
        located = await find(client, repo)
        where = located.workspace()
        if asked.cursor:
            asked, where = replace(asked, cursor=replace(asked.cursor, path=located.inside)), located.whole()
        found = await client.assistant.explain(client.user, [where], asked, SECONDS)
    if as_json:
        output.line(facts(query, found))
    else:
        show(found, located)


def facts(query: str, found: Found) -> dict[str, object]:
    """An explanation as tools get it."""
    return {
        "query": query,
        "useful": found.report.useful,
        "probability": found.report.probability,
        "evidence": dict(found.evidence),
        "results": [{**output.result(one), "lanes": lanes(one)} for one in found.snippets],
        "losers": [{**output.result(one), "lanes": lanes(one), "lost_because": one.lost_because} for one in found.losers],
        "plan": found.report.plan,
    }


def lanes(snippet: Snippet) -> dict[str, dict[str, float]]:
    """Rank and score of a snippet in each lane that found it."""
    return {find.lane: {"rank": find.rank, "score": find.score} for find in snippet.lanes}


def show(found: Found, located: Located) -> None:
    """The explanation for a person: bars of what each signal gave, then the near misses."""
    if not found.report.useful:
        click.secho(NOTHING_USEFUL + ("" if found.snippets else " (--all shows what was found anyway)"), fg="yellow")
    largest = max((abs(value) for one in found.snippets for value in one.reasons.values()), default=0.0)
    for number, snippet in enumerate(found.snippets, 1):
        click.echo(f"{number:>2} {output.scored(snippet, located)}  {likely(snippet.probability)}")
        click.secho(f"   found by {found_by(snippet)}", dim=True)
        for row in bars(snippet, largest):
            click.echo(f"   {row}")
    if found.losers:
        click.secho("near misses", bold=True)
    for snippet in found.losers[:NEAR_MISSES]:
        lost = click.style(output.one_line(snippet.lost_because), fg="yellow")
        click.echo(f"   {output.scored(snippet, located)}  {likely(snippet.probability)}  lost: {lost}")
        click.secho(f"      {output.reasons(snippet)}  found by {found_by(snippet)}", dim=True)
    if found.evidence:
        told = "  ".join(f"{output.one_line(name)} {value:.2f}" for name, value in found.evidence.items())
        output.note(f"evidence: {told}")
    results = f"{len(found.snippets)} results, {len(found.losers)} losers"
    output.note(f"{results}, {likely(found.report.probability)}, plan {found.report.plan}")


def likely(probability: float) -> str:
    """A probability as people say it."""
    return f"{probability:.0%} likely useful"


def found_by(snippet: Snippet) -> str:
    """The lanes with rank and score, the best rank first."""
    ordered = sorted(snippet.lanes, key=lambda find: (find.rank, find.lane))
    return "  ".join(f"{output.one_line(find.lane)} #{find.rank} ({find.score:.3f})" for find in ordered) or "no lane"


def bars(snippet: Snippet, largest: float) -> Sequence[str]:
    """A row a contribution, the largest first; `largest` is as long as a bar can be."""
    parts = sorted(snippet.reasons.items(), key=lambda part: (-abs(part[1]), part[0]))
    names = max((len(output.one_line(name)) for name, _ in parts), default=0)
    rows = []
    for name, value in parts:
        bar = "█" * max(1, round(BAR * abs(value) / largest)) if largest else ""
        rows.append(f"{output.one_line(name):<{names}} {value:+.3f} {click.style(bar, fg='green' if value > 0 else 'red')}")
    return rows
