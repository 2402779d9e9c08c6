"""Scores as a person reads them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nearcode.cli import output

if TYPE_CHECKING:
    from nearcode.evaluation.comparison import Difference
    from nearcode.evaluation.interval import Estimate
    from nearcode.evaluation.results import Evaluation, Row

_CURVES = f"{'recall at 500 to 4k':<19}  {'precision, the same':<19}"
_HEADING = f"  {'questions':<20} {'nDCG@10':>12} {'hit@10':>12}  {_CURVES}  {'lift at 2k':>12}"


def table(found: "Evaluation", rows: Sequence["Row"]) -> None:
    """A block for each repository and space."""
    told = {(one.repository, one.space): one for one in found.evaluated}
    shown: tuple[str, str] | None = None
    for row in rows:
        if (row.repository, row.space) != shown:
            shown = row.repository, row.space
            one = told.get(shown)
            about = f"{one.files} files, {one.chunks} chunks in {one.seconds:.1f} s" if one else "repositories equally heavy"
            unfit = f"; {one.unfit} questions no longer fit the code" if one and one.unfit else ""
            click.secho(f"{output.one_line(row.repository)}, {row.space} space: {about}{unfit}", bold=True)
            click.echo(_HEADING)
        click.echo(_line(row))
    output.note("means and half their 95 % intervals; in a completion, names are found that only other files show", err=False)


def _line(row: "Row") -> str:
    curves = [" ".join(f"{one.mean:.2f}" for one in _curve(row, name)) for name in ("recall", "precision")]
    exact = [_cell(row, name) for name in ("ndcg@10", "hit@10", "lift@2000")]
    return f"  {row.questions:>5} {row.kind:<14} {exact[0]:>12} {exact[1]:>12}  {curves[0]:<19}  {curves[1]:<19} {exact[2]:>13}"


def _curve(row: "Row", name: str) -> "list[Estimate]":
    """The means at each token budget."""
    from nearcode.evaluation.asking import BUDGETS
    from nearcode.evaluation.interval import Estimate

    return [row.metrics.get(f"{name}@{budget}", Estimate(0.0, 0.0, 0.0, 0)) for budget in BUDGETS]


def _cell(row: "Row", name: str) -> str:
    one = row.metrics.get(name)
    return f"{one.mean:.3f} ±{(one.high - one.low) / 2:.3f}" if one and one.count else "-"


def changed(one: "Difference") -> str:
    change = one.change
    return (
        f"{one.space:<11} {one.kind:<14} {change.count:>5} questions  {one.metric:<11} {one.before:.4f} -> {one.after:.4f}  "
        f"{change.mean:+.4f}, 95 % interval {change.low:+.4f} to {change.high:+.4f}"
    )
