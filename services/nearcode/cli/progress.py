"""How far an index has come: a bar on a terminal, a line now and then elsewhere. Always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from nearcode.domain.repository import RepositoryStatus

Show = Callable[[RepositoryStatus], None]

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def progress(no_color: bool = False) -> Iterator[Show]:
    """Yields what shows a status."""
    if sys.stderr.isatty():
        with _bar(no_color) as show:
            yield show
    else:
        yield LineProgress(time.monotonic).show


class LineProgress:
    """A line every few seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._began, self._told = clock, clock(), clock()

    def show(self, status: RepositoryStatus) -> None:
        now = self._clock()
        if now - self._told >= EVERY:
            self._told = now
            click.echo(f"indexing {summary(status, now - self._began)}", err=True)


def summary(status: RepositoryStatus, seconds: float) -> str:
    """Files, chunks, rate and time left, in words."""
    done = status.progress
    rate = done.chunks_done / seconds if seconds > 0 else 0.0
    left = seconds * (done.files_total - done.files_done) / done.files_done if done.files_done else None
    ending = f", {left:.0f} s left" if left is not None else ""
    return f"{done.files_done}/{done.files_total} files, {done.chunks_done} chunks, {rate:.0f} chunks/s{ending}"


@contextmanager
def _bar(no_color: bool) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None)]
    columns += [TextColumn("{task.completed:.0f}/{task.total:.0f} files"), TextColumn("{task.fields[rate]}")]
    console = Console(stderr=True, no_color=no_color or None)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task, began = bar.add_task("indexing", total=0, rate=""), time.monotonic()

        def show(status: RepositoryStatus) -> None:
            done, seconds = status.progress, time.monotonic() - began
            rate = f"{done.chunks_done} chunks, {done.chunks_done / max(seconds, 0.1):.0f}/s"
            bar.update(task, completed=done.files_done, total=done.files_total, rate=rate)

        yield show
