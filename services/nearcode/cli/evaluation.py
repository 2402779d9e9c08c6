"""`eval`: how good answers are on one's own code, and whether another ranker, model or release is worse."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from nearcode.cli import loop, output
from nearcode.cli.failures import FAILED, OK
from nearcode.cli.options import json_option, pass_program
from nearcode.cli.program import Program
from nearcode.cli.scores import changed, table
from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.domain.spaces import CHAT, COMPLETION

if TYPE_CHECKING:
    from nearcode.evaluation.results import Evaluation
    from nearcode.own_code import Plan

Tell = Callable[[str, int, int], None]

_KINDS = ("documentation", "commit", "call", "completion")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.File("r", encoding="utf-8", errors="replace")
_NEW_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


class Eval(click.Group):
    """A group whose first word may be a folder: `eval .` means `eval run .`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("eval", cls=Eval)
def evaluation() -> None:
    """Measure answers on your own code: `nearcode eval PATH`.

    Questions are made from the code itself: documentation (hidden from the index), commits, calls, and functions with lines
    missing. They are asked of an index made for this alone; yours is not touched. `nearcode eval compare` tells whether
    another release, ranker or model is worse.
    """


@evaluation.command("run")
@click.argument("paths", type=_FOLDER, nargs=-1, required=True, metavar="PATH...")
@click.option("--kinds", default=",".join(_KINDS), show_default=True, help="Kinds of questions, separated by commas.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Questions of a kind at most.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other questions.")
@click.option("--spaces", default=COMPLETION, show_default=True, help="Index spaces: completion, or completion,chat.")
@click.option("--all", "everything", is_flag=True, help="Judge the order alone, without the cut-off.")
@click.option("--questions", "given", type=click.File("r", encoding="utf-8"), help="Ask the questions of this file.")
@click.option("--write-questions", type=_NEW_FILE, help="Write the questions that are asked, one a line.")
@click.option("--out", type=_NEW_FILE, help="Write every answer's scores as JSON, for `eval compare`.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting, as retrieval.candidates=200.")
@json_option
@pass_program
def run(program: Program, /, paths: Sequence[Path], as_json: bool, **options: Any) -> int:
    """Ask questions made from the code in PATH and print how well they are answered."""
    _require_engine()
    from nearcode.evaluation.question import Kind, load
    from nearcode.own_code import Plan

    kinds = tuple(map(Kind, _chosen(options["kinds"], _KINDS, "kinds")))
    spaces = _chosen(options["spaces"], (COMPLETION, CHAT), "spaces")
    given = load(options["given"]) if options["given"] else None
    folders = tuple(dict.fromkeys(path.resolve() for path in paths))
    plan = Plan(folders, kinds, options["limit"], options["seed"], spaces, given, options["everything"])
    files = {name: options[name] for name in ("write_questions", "out") if options[name]}
    return loop.run(_run(program, plan, overrides(options["changes"]), files, as_json))


async def _run(program: Program, plan: "Plan", changes: Mapping[str, object], files: Mapping[str, Path], as_json: bool) -> int:
    from nearcode.evaluating import evaluate
    from nearcode.evaluation.question import dump
    from nearcode.evaluation.results import rows
    from nearcode.own_code import prepare

    settings = program.settings(changes)
    with _progress(click.get_current_context().color is False) as tell:
        subjects = await prepare(settings, plan, tell)
        if "write_questions" in files:
            lines = [dump(subject.name, question) for subject in subjects for question in subject.questions]
            _write(files["write_questions"], "\n".join(lines) + "\n")
        found = await evaluate(settings, plan, subjects, tell)
    if "out" in files:
        _write(files["out"], found.dump())
    if as_json:
        for row in rows(found.evaluated):
            output.line(row.values())
    else:
        table(found, rows(found.evaluated))
    return OK


@evaluation.command()
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option(
    "--fail-below",
    type=click.FloatRange(-1, 1),
    default=-0.01,
    show_default=True,
    help="Exit with code 1 where the difference is smaller: of all questions together, or, beyond chance, of one kind.",
)
@json_option
def compare(before: IO[str], after: IO[str], fail_below: float, as_json: bool) -> int:
    """Compare two files of `eval --out`, question by question: AFTER minus BEFORE."""
    _require_engine()
    from nearcode.evaluation.comparison import compare, worse

    differences = compare(_read(before), _read(after))
    failed = worse(differences, fail_below)
    for one in differences:
        if as_json:
            output.line({**one.values(), "worse": one in failed})
        else:
            click.secho(changed(one), fg="red" if one in failed else "green" if one.change.low > 0 else None)
    for one in failed:
        what = "all questions together" if one.kind == "all" else f"{one.kind} questions"
        click.secho(
            f"worse: {what} lose {-one.change.mean:.4f} of {one.metric} in the {one.space} space, "
            f"and {-fail_below:.4f} is the most that was allowed (--fail-below)",
            err=True,
            fg="red",
        )
    return FAILED if failed else OK


def _require_engine() -> None:
    """Raises Unavailable where only the client is installed."""
    if not find_spec("numpy") or not find_spec("nats"):
        raise Unavailable("evaluation needs the engine: pip install 'nearcode[engine]'", Reason.SERVICE_UNAVAILABLE)


def _read(file: IO[str]) -> "Evaluation":
    from nearcode.evaluation.results import Evaluation

    return Evaluation.load(file.read(), file.name)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}", field="file") from error


def _chosen(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    wrong = [word for word in chosen if word not in known]
    if wrong or not chosen:
        raise InvalidRequest(f"--{option}: {wrong[0] if wrong else text!r} is none of {', '.join(known)}", field=option)
    return chosen


def overrides(changes: Sequence[str]) -> dict[str, object]:
    """`retrieval.candidates=200` as a tree of settings. Raises InvalidRequest."""
    tree: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        *branches, leaf = key.strip().split(".")
        if not equals or not leaf:
            raise InvalidRequest(f"--set {change}: write KEY=VALUE, as in retrieval.candidates=200", field="set")
        branch = tree
        for name in branches:
            branch = branch.setdefault(name, {})
        branch[leaf] = value
    return tree


@contextmanager
def _progress(no_color: bool) -> Iterator[Tell]:
    """A bar on a terminal, nothing elsewhere: an evaluation ends by itself."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, no_color=no_color or None), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of or None)
