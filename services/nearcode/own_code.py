"""A folder's own code, and the questions that are made from it."""

import asyncio
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearcode.domain.errors import InvalidRequest, NotFound, Reason
from nearcode.domain.repository import FileVersion, blob_id
from nearcode.domain.spaces import COMPLETION
from nearcode.evaluation.commits import LOG_FORMAT, NEWEST, Commit, parse_log
from nearcode.evaluation.drawing import LIMIT
from nearcode.evaluation.question import KINDS, Kind, Question
from nearcode.evaluation.questions import fitting, from_sources, generate
from nearcode.evaluation.source import SourceFile

if TYPE_CHECKING:
    from nearcode.domain.artifact import Snapshot
    from nearcode.ingestion.ports import Source
    from nearcode.settings import Settings

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

_LARGEST = 1_000_000
"""Bytes of a file that is read for a script."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated. `given`: questions by repository's name, instead of new ones. `everything`: without the cut-off."""

    folders: tuple[Path, ...]
    kinds: Collection[Kind] = KINDS
    limit: int = LIMIT
    seed: int = 0
    spaces: tuple[str, ...] = (COMPLETION,)
    given: Mapping[str, Sequence[Question]] | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """A repository that is ready to be asked. `unfit` given questions did not fit its code any more."""

    name: str
    files: Mapping[str, bytes]
    questions: tuple[Question, ...]
    unfit: int = 0


def questions(folder: Path, kinds: Collection[Kind] = KINDS, seed: int = 0, limit: int = LIMIT) -> list[Question]:
    """Questions from a folder's own code, at most `limit` of each kind; for scripts that train and measure.

    Files are parsed in this process, which hostile input can occupy for ever. Index `evaluation.documentation.hide(files,
    questions)`, not the files. Raises NotFound.
    """
    from nearcode.chunking.outline import outline

    commits = read_history(folder) if Kind.COMMIT in kinds else []
    return generate(read_folder(folder), outline, commits, kinds, seed, limit)


def read_folder(folder: Path, largest: int = _LARGEST) -> dict[str, bytes]:
    """The files that would be indexed, by path: of a folder as it is now, or of a bare repository's HEAD. Raises NotFound."""
    source, snapshot = _opened(folder, largest)
    return {blob.file.path: blob.data for blob in source.read(snapshot.files) if blob.data is not None}


def _opened(folder: Path, largest: int) -> "tuple[Source, Snapshot]":
    from nearcode.ingestion.folder import FolderSource
    from nearcode.ingestion.git import GitSource, git_dir_of
    from nearcode.ingestion.git_command import Git, GitFailed
    from nearcode.ingestion.selection import Selection

    selection = Selection(largest)
    source: Source = FolderSource(folder, selection)
    if git_dir_of(folder) == folder:
        git = Git(folder)
        try:
            branch = git.run("symbolic-ref", "--short", "HEAD").decode().strip()
        except GitFailed as error:
            raise NotFound(f"{folder} has no branch at its HEAD: {error.last_line}", Reason.NO_SUCH_BRANCH) from error
        source = GitSource(folder.as_uri(), branch, git, selection)
    return source, source.snapshot()


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


async def prepare(settings: "Settings", plan: Plan, tell: Tell) -> list[Subject]:
    """Reads the folders and makes their questions. Raises InvalidRequest when there are none."""
    names = _names(plan.folders)
    subjects = []
    for number, (folder, name) in enumerate(zip(plan.folders, names, strict=True)):
        tell(f"reading {name}", number, len(names))
        files = await asyncio.to_thread(read_folder, folder, settings.ingestion.largest_file)
        if plan.given is None:
            commits = await asyncio.to_thread(read_history, folder) if Kind.COMMIT in plan.kinds else []
            sources = await _parsed(settings, files)
            made = await asyncio.to_thread(from_sources, sources, commits, plan.kinds, plan.seed, plan.limit)
            subjects.append(Subject(name, files, tuple(made)))
        else:
            asked = [one for one in plan.given.get(name, ()) if one.kind in plan.kinds]
            fit = fitting(asked, {path: blob_id(data) for path, data in files.items()})
            subjects.append(Subject(name, files, tuple(fit), len(asked) - len(fit)))
    if not any(subject.questions for subject in subjects):
        raise InvalidRequest(_no_questions(plan, names), field="path")
    return [subject for subject in subjects if subject.questions]


def _no_questions(plan: Plan, names: Sequence[str]) -> str:
    if plan.given is not None:
        return f"no question of the file fits {', '.join(names)} as it is now: make new ones with --write-questions"
    return f"{', '.join(names)} gives no question: name a folder with documented code, or with its git history"


def _names(folders: Sequence[Path]) -> list[str]:
    """What people call them: the folders' names; whole paths where two are called the same."""
    short = [folder.name if folder.name != "repo" else folder.parent.name for folder in folders]
    return [str(folder) if short.count(name) > 1 else name for folder, name in zip(folders, short, strict=True)]


async def _parsed(settings: "Settings", files: Mapping[str, bytes]) -> list[SourceFile]:
    """Files with their outlines, made in processes that hostile input may kill."""
    from nearcode.chunking.pool import ParserPool

    chunking = settings.chunking
    pool = ParserPool(chunking.workers, chunking.cpu_seconds, chunking.wall_seconds)
    versions = [(FileVersion(path, blob_id(files[path]), len(files[path])), files[path]) for path in sorted(files)]
    try:
        outlines = await pool.outline(versions)
    finally:
        await pool.close()
    return [SourceFile(one.path, data, found, one.blob) for (one, data), found in zip(versions, outlines, strict=True)]
