"""A branch of a git repository, read from its objects: never checked out."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from nearcode.domain.artifact import Snapshot
from nearcode.domain.errors import InvalidRequest, NotFound, Reason, Unavailable
from nearcode.domain.repository import Blob, FileState, FileStatus, FileVersion
from nearcode.ingestion.clone import Clone
from nearcode.ingestion.git_command import Git, GitFailed
from nearcode.ingestion.ignore import IGNORE_FILES, IgnoreFile, IgnoreRules
from nearcode.ingestion.projects import Projects
from nearcode.ingestion.selection import LEFT_OUT_FOLDERS, Selection

_BRANCH = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")

_TRIES = 3
"""How often blobs are read, each time after a clone of ours was mended."""


class GitSource:
    """A branch of a git repository: the user's own where `git` runs, or what `clone` brings there from a remote."""

    def __init__(self, url: str, branch: str, git: Git, selection: Selection, clone: Clone | None = None) -> None:
        if not _BRANCH.match(branch) or ".." in branch:
            raise InvalidRequest(f"{branch!r} is not a branch name", field="branch")
        self._url, self._branch, self._git, self._selection, self._clone = url, branch, git, selection, clone
        self._projects = Projects()

    def snapshot(self, commit: str = "") -> Snapshot:
        """The files of `commit`, or of the branch's head; the head's, too, if a remote has the commit no more. Raises NotFound,
        Unavailable."""
        commit, listing = self._listing(commit)
        files: list[FileVersion] = []
        others: list[FileStatus] = []
        entries = [_entry(line) for line in listing.split(b"\0") if line]
        rules = self._rules([(path, blob) for mode, blob, _, path in entries if mode.startswith("100")])
        described: list[FileVersion] = []
        for mode, blob, size, path in entries:
            ignored = _not_regular(mode, path) or rules.why_ignored(path)
            if not ignored and self._selection.describes(path, size):
                described.append(FileVersion(path, blob, size))
            if reason := ignored or self._selection.why_left_out(path, size):
                others.append(FileStatus(path, "", FileState.SKIPPED, reason))
            else:
                files.append(FileVersion(path, blob, size))
        return Snapshot(commit, tuple(files), tuple(others), self._projects.read(described, self.read))

    def read(self, files: Sequence[FileVersion]) -> Iterator[Blob]:
        """The bytes of file versions, in the order asked; none for objects that are gone. What a lost clone of ours had is
        fetched again. Raises NotFound, Unavailable."""
        gone = set() if self._clone else {file.blob for file in files}
        rest = files
        for _ in range(_TRIES):
            done, made = 0, self._clone.made if self._clone else 0
            broken = None
            try:
                for blob in self._stream(rest):
                    if blob.data is None and blob.file.blob not in gone:
                        break
                    yield blob
                    done += 1
            except _Unreadable:
                broken = made
            rest = rest[done:]
            if not rest or self._clone is None:
                break
            gone |= self._clone.restore([file.blob for file in rest], broken)
        yield from (Blob(file, None) for file in rest)

    def _stream(self, files: Sequence[FileVersion]) -> Iterator[Blob]:
        """Raises _Unreadable where git gives up: at an object that is broken, or for want of a repository."""
        command, quiet = self._git.command("cat-file", "--batch"), subprocess.DEVNULL
        batch = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, env=self._git.environment()
        )
        assert batch.stdin and batch.stdout
        names = b"".join(f"{file.blob}\n".encode() for file in files)
        feeder = threading.Thread(target=_feed, args=(batch, names), daemon=True)
        feeder.start()
        try:
            for file in files:
                head = batch.stdout.readline().split()
                if not head:
                    raise _Unreadable
                if len(head) != 3:
                    yield Blob(file, None)
                    continue
                data = batch.stdout.read(int(head[2]))
                if batch.stdout.read(1) != b"\n":  # it died at bytes that are broken
                    raise _Unreadable
                yield Blob(file, data)
        finally:
            batch.kill()
            batch.wait()

    def _head(self) -> str:
        reference = f"refs/heads/{self._branch}^{{commit}}"
        try:
            return self._git.run("rev-parse", "--verify", "--end-of-options", reference).decode().strip()
        except GitFailed as error:
            raise NotFound(f"{self._url} has no branch {self._branch}", Reason.NO_SUCH_BRANCH) from error

    def _listing(self, commit: str) -> tuple[str, bytes]:
        """The commit that is there, and its files. A clone of ours that cannot be read is made anew, once."""
        if self._clone is None:
            commit = commit or self._head()
            try:
                return commit, self._list(commit)
            except GitFailed as error:
                raise NotFound(f"commit {commit} of {self._url} cannot be read: {error.last_line}") from error
        made, there = self._clone.made, self._clone.bring(commit)
        try:
            return there, self._list(there)
        except GitFailed:
            there = self._clone.bring(commit, broken=made)
        try:
            return there, self._list(there)
        except GitFailed as error:
            raise Unavailable(f"{self._url} cannot be read: {error.last_line}", Reason.FETCH_FAILED, 30.0) from error

    def _list(self, commit: str) -> bytes:
        return self._git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)

    def _rules(self, files: Sequence[tuple[str, str]]) -> IgnoreRules:
        """`.ignore` and `.nearcodeignore` of the commit; what `.gitignore` names is not in it, or is there on purpose."""
        rules = IgnoreRules()
        named = [FileVersion(path, blob) for path, blob in files if os.path.basename(path) in IGNORE_FILES[1:]]
        for blob in self.read(named) if named else ():
            text = (blob.data or b"").decode("utf-8", "replace")
            rules.add(IgnoreFile.parse(os.path.dirname(blob.file.path), os.path.basename(blob.file.path), text))
        return rules


class _Unreadable(Exception):
    """Git gave up."""


def git_dir_of(folder: Path) -> Path | None:
    """The git directory of a repository's top folder or of a bare repository, if it is one."""
    for candidate in (folder / ".git", folder):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    return None


def _entry(line: bytes) -> tuple[str, str, int, str]:
    meta, _, path = line.partition(b"\t")
    mode, _, blob, size = meta.decode().split()
    return mode, blob, int(size) if size.isdigit() else 0, path.decode("utf-8", "backslashreplace")


def _not_regular(mode: str, path: str) -> str:
    if mode == "120000":
        return "symbolic link"
    if mode == "160000":
        return "another repository"
    if "\\x" in path:
        return "path is not UTF-8"
    left_out = [folder for folder in path.split("/")[:-1] if folder in LEFT_OUT_FOLDERS]
    return f"in a folder {left_out[0]}" if left_out else ""


def _feed(batch: "subprocess.Popen[bytes]", names: bytes) -> None:
    assert batch.stdin
    try:
        batch.stdin.write(names)
        batch.stdin.close()
    except BrokenPipeError:
        return  # the reader stopped early
