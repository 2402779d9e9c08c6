"""Evaluation put together: a folder or repository becomes files, questions, an index of their own, and answers."""

import subprocess
from collections.abc import Collection
from pathlib import Path

from nearcode.evaluation.commits import LOG_FORMAT, NEWEST, Commit, parse_log
from nearcode.evaluation.drawing import LIMIT
from nearcode.evaluation.question import KINDS, Kind, Question
from nearcode.evaluation.questions import generate

_LARGEST = 1_000_000
"""Bytes of a file that is read for a script."""


def read_folder(folder: Path, largest: int = _LARGEST) -> dict[str, bytes]:
    """The files of a folder that would be indexed, by path. Raises NotFound."""
    from nearcode.ingestion.folder import FolderSource
    from nearcode.ingestion.selection import Selection

    source = FolderSource(folder, Selection(largest))
    return {blob.file.path: blob.data for blob in source.read(source.snapshot().files) if blob.data is not None}


def read_history(folder: Path) -> list[Commit]:
    """The newest commits that touched the folder, paths relative to it; none where there is no git repository."""
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "log"]
    command += ["--no-merges", "--no-renames", "--name-only", "--relative", "-z", f"--max-count={NEWEST}"]
    command += [f"--format={LOG_FORMAT}", "HEAD", "--"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return []  # no git, no repository, or one without commits
    return parse_log(done.stdout)


def questions(folder: Path, kinds: Collection[Kind] = KINDS, seed: int = 0, limit: int = LIMIT) -> list[Question]:
    """Questions from a folder's own code, at most `limit` of each kind; for scripts that train and measure.

    Files are parsed in this process, which hostile input can occupy for ever. Index `evaluation.questions.hide(files,
    questions)`, not the files. Raises NotFound.
    """
    from nearcode.chunking.outline import outline

    commits = read_history(folder) if Kind.COMMIT in kinds else []
    return generate(read_folder(folder), outline, commits, kinds, seed, limit)
