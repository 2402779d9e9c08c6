"""A folder as it is now, uncommitted work included: a git working tree, or any folder."""

import contextlib
import hashlib
import os
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearcode.domain.artifact import Snapshot
from nearcode.domain.errors import NotFound
from nearcode.domain.graph import Project
from nearcode.domain.repository import Blob, FileState, FileStatus, FileVersion, blob_id
from nearcode.ingestion.ignore import IGNORE_FILES, IgnoreFile, IgnoreRules
from nearcode.ingestion.projects import Projects
from nearcode.ingestion.selection import LEFT_OUT_FOLDERS, Selection

_IGNORING = frozenset(IGNORE_FILES)
_RACY_NS = 2_000_000_000
"""A file this young may change again without changing its time stamp: it is read again (git calls this racy)."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was known of a file when it was last read."""

    mtime_ns: int
    size: int
    inode: int
    blob: str
    read_ns: int


class FolderSource:
    """Lists and reads a folder. Remembers what it read, so that a second look costs one `stat` a file."""

    def __init__(self, root: Path, selection: Selection) -> None:
        self._root, self._selection = root, selection
        self._known: dict[str, _Known] = {}
        self._verdicts: dict[str, tuple[int, str, bool]] = {}
        self._projects, self._described = Projects(), list[FileVersion]()
        self._last: Snapshot | None = None

    def snapshot(self, commit: str = "") -> Snapshot:
        """The folder's files now; or as they were at the last look, if that is the `commit` asked for: whoever reads a file
        that changed since is told. Raises NotFound."""
        if self._last and commit == self._last.commit:
            return self._last
        if not self._root.is_dir():
            raise NotFound(f"{self._root} is not a folder any more")
        files: list[FileVersion] = []
        others: list[FileStatus] = []
        self._described = []
        for path in self._paths(others):
            self._take(path, files, others)
        files.sort(key=lambda file: file.path)
        others.sort(key=lambda other: other.path)
        projects = self._projects.read(sorted(self._described, key=lambda file: file.path), self.read)
        self._last = Snapshot(_tree_id(files, others, projects), tuple(files), tuple(others), projects)
        return self._last

    def read(self, files: Sequence[FileVersion]) -> Iterator[Blob]:
        """The bytes of file versions; none for a file that is not what it was."""
        for file in files:
            try:
                with open(f"{self._root}/{file.path}", "rb", buffering=0) as opened:
                    data = opened.read()
            except OSError:
                data = b""
            yield Blob(file, data if blob_id(data) == file.blob else None)

    def _paths(self, others: list[FileStatus]) -> Iterator[str]:
        """Relative paths that no ignore rule leaves out; those that one does go to `others`."""
        rules = IgnoreRules()
        tracked = self._git_files()
        listed = self._walk(rules, others, tracked is not None) if tracked is None else iter(tracked)
        if tracked is not None:
            self._add_ignore_files(rules, {os.path.dirname(path) for path in tracked})
        for path in listed:
            if rule := rules.why_ignored(path):
                others.append(FileStatus(path, "", FileState.SKIPPED, rule))
            else:
                yield path

    def _walk(self, rules: IgnoreRules, others: list[FileStatus], git: bool) -> Iterator[str]:
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(f"{self._root}/{folder}"), key=lambda entry: entry.name)
            except OSError as error:
                others.append(FileStatus(f"{folder}/", "", FileState.FAILED, f"cannot be read: {error.strerror}"))
                continue
            if not _IGNORING.isdisjoint(entry.name for entry in entries):
                self._add_ignore_files(rules, {folder}, gitignore=not git)
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield path
                elif entry.name not in LEFT_OUT_FOLDERS and not self._ignored_folder(rules, path, others):
                    folders.append(path)

    @staticmethod
    def _ignored_folder(rules: IgnoreRules, path: str, others: list[FileStatus]) -> bool:
        rule = rules.why_ignored(path + "/")
        if rule:
            others.append(FileStatus(path + "/", "", FileState.SKIPPED, rule))
        return bool(rule)

    def _add_ignore_files(self, rules: IgnoreRules, folders: set[str], gitignore: bool = False) -> None:
        """Reads the ignore files of folders and, for git's own list of files (`gitignore` False), of their parents."""
        every = set(folders)
        if not gitignore:
            every |= {str(parent) for folder in folders for parent in Path(folder).parents} - {"."} | {""}
        for folder in sorted(every):
            for name in IGNORE_FILES if gitignore else IGNORE_FILES[1:]:
                file = f"{self._root}/{folder}/{name}"
                if os.path.isfile(file) and not os.path.islink(file):
                    rules.add(IgnoreFile.parse(folder, name, Path(file).read_text("utf-8", "replace")))

    def _git_files(self) -> list[str] | None:
        """What git would list: tracked and new files, by git's own reading of every ignore rule. None outside of git."""
        if not any((folder / ".git").exists() for folder in (self._root, *self._root.parents)):
            return None
        command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"]
        command += ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
        try:
            result = subprocess.run(command, cwd=self._root, capture_output=True, check=True, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            return None  # no git here, or not a repository after all: the folder is walked
        # None at all: the folder lies in a repository that ignores it, and is still the one that was named.
        return [os.fsdecode(path) for path in result.stdout.split(b"\0") if path] or None

    def _take(self, path: str, files: list[FileVersion], others: list[FileStatus]) -> None:
        """Adds one path to the files, or to the others with the reason."""
        if not _is_text(path):
            others.append(FileStatus(path.encode("utf-8", "replace").decode(), "", FileState.SKIPPED, "path is not UTF-8"))
            return
        try:
            info = os.lstat(f"{self._root}/{path}")
        except FileNotFoundError:
            return  # tracked and deleted
        except OSError as error:
            others.append(FileStatus(path, "", FileState.FAILED, f"cannot be read: {error.strerror}"))
            return
        left_out, describes = self._verdict(path, info.st_size)
        if describes and stat.S_ISREG(info.st_mode):
            self._describe(path, info)
        if reason := _not_regular(info.st_mode) or left_out:
            others.append(FileStatus(path, "", FileState.SKIPPED, reason))
            return
        try:
            files.append(FileVersion(path, self._blob(path, info), info.st_size))
        except OSError as error:
            others.append(FileStatus(path, "", FileState.FAILED, f"cannot be read: {error.strerror}"))

    def _verdict(self, path: str, size: int) -> tuple[str, bool]:
        """Why the rules leave a file out, and whether it describes a project; remembered as long as its size stays."""
        known = self._verdicts.get(path)
        if known is None or known[0] != size:
            known = size, self._selection.why_left_out(path, size), self._selection.describes(path, size)
            self._verdicts[path] = known
        return known[1], known[2]

    def _describe(self, path: str, info: os.stat_result) -> None:
        """A project file is read whatever becomes of it; one that cannot be read says nothing."""
        with contextlib.suppress(OSError):
            self._described.append(FileVersion(path, self._blob(path, info), info.st_size))

    def _blob(self, path: str, info: os.stat_result) -> str:
        known = self._known.get(path)
        same = known and (known.mtime_ns, known.size, known.inode) == (info.st_mtime_ns, info.st_size, info.st_ino)
        if known and same and known.read_ns - known.mtime_ns > _RACY_NS:
            return known.blob
        blob = blob_id((self._root / path).read_bytes())
        self._known[path] = _Known(info.st_mtime_ns, info.st_size, info.st_ino, blob, time.time_ns())
        return blob


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_regular(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "symbolic link"
    if stat.S_ISDIR(mode):
        return "another repository"  # a submodule, as git lists it
    return "" if stat.S_ISREG(mode) else "not a regular file"


def _tree_id(files: Sequence[FileVersion], others: Sequence[FileStatus], projects: Sequence[Project]) -> str:
    """A name for the folder's content: equal when all files and all reasons are, and what project files say."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.blob}\n".encode())
    for other in others:
        digest.update(f"{other.path}\0{other.state}\0{other.reason}\n".encode("utf-8", "replace"))
    for project in projects:
        digest.update(
            repr((project.kind, project.folder, project.name, sorted(project.aliases.items()))).encode("utf-8", "replace")
        )
    return digest.hexdigest()[:40]
