"""Git, by its command line: bare, never checked out, with an empty environment and only the protocols that are allowed."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from nearcode.domain.artifact import Snapshot
from nearcode.domain.errors import InvalidRequest, NotFound, Unavailable
from nearcode.domain.repository import Blob, FileState, FileStatus, FileVersion
from nearcode.ingestion.ignore import IGNORE_FILES, IgnoreFile, IgnoreRules
from nearcode.ingestion.selection import LEFT_OUT_FOLDERS, Selection

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "credential.helper=",
    "gc.auto=0",
    "http.followRedirects=false",
    "protocol.allow=never",
)
_BRANCH = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$")


class GitSource:
    """A branch of a git repository. `git_dir` is the user's own repository, or ours to fetch `url` into."""

    def __init__(self, url: str, branch: str, git_dir: Path, selection: Selection, fetch: bool, protocols: str = "https",
                 seconds: float = 900.0) -> None:  # fmt: skip
        if not _BRANCH.match(branch) or ".." in branch:
            raise InvalidRequest(f"{branch!r} is not a branch name", field="branch")
        self._url, self._branch, self._git_dir, self._selection = url, branch, git_dir, selection
        self._fetch_first, self._protocols, self._seconds = fetch, protocols, seconds

    def snapshot(self, commit: str = "") -> Snapshot:
        """The files of `commit`, or of the branch's head. Raises NotFound, Unavailable."""
        commit = commit or self._head()
        files: list[FileVersion] = []
        others: list[FileStatus] = []
        listing = self._git("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
        entries = [_entry(line) for line in listing.split(b"\0") if line]
        rules = self._rules([(path, blob) for mode, blob, _, path in entries if mode.startswith("100")])
        for mode, blob, size, path in entries:
            if reason := _not_regular(mode, path) or rules.why_ignored(path) or self._selection.why_left_out(path, size):
                others.append(FileStatus(path, "", FileState.SKIPPED, reason))
            else:
                files.append(FileVersion(path, blob, size))
        return Snapshot(commit, tuple(files), tuple(others))

    def read(self, files: Sequence[FileVersion]) -> Iterator[Blob]:
        """The bytes of file versions, in the order asked; none for objects that are gone."""
        batch = subprocess.Popen(
            self._command("cat-file", "--batch"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._env()
        )
        assert batch.stdin and batch.stdout
        names = b"".join(f"{file.blob}\n".encode() for file in files)
        feeder = threading.Thread(target=_feed, args=(batch, names), daemon=True)
        feeder.start()
        try:
            for file in files:
                head = batch.stdout.readline().split()
                if len(head) != 3:
                    yield Blob(file, None)
                    continue
                data = batch.stdout.read(int(head[2]))
                batch.stdout.read(1)
                yield Blob(file, data)
        finally:
            batch.kill()
            batch.wait()

    def _head(self) -> str:
        if self._fetch_first:
            self._fetch()
        try:
            return (
                self._git("rev-parse", "--verify", "--end-of-options", f"refs/heads/{self._branch}^{{commit}}").decode().strip()
            )
        except NotFound as error:
            raise NotFound(f"{self._url} has no branch {self._branch}") from error

    def _fetch(self) -> None:
        if not (self._git_dir / "HEAD").exists():
            self._git_dir.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["git", "init", "-q", "--bare", str(self._git_dir)], env=self._env(), check=True, capture_output=True
            )
        reference = f"+refs/heads/{self._branch}:refs/heads/{self._branch}"
        try:
            self._git("fetch", "-q", "--no-tags", "--depth=1", "--end-of-options", self._url, reference)
        except NotFound as error:
            raise Unavailable(f"{self._url} cannot be fetched: {error.message}", retry_after=60.0) from error

    def _rules(self, files: Sequence[tuple[str, str]]) -> IgnoreRules:
        """`.ignore` and `.nearcodeignore` of the commit; what `.gitignore` names is not in it, or is there on purpose."""
        rules = IgnoreRules()
        named = [FileVersion(path, blob) for path, blob in files if os.path.basename(path) in IGNORE_FILES[1:]]
        for blob in self.read(named) if named else ():
            text = (blob.data or b"").decode("utf-8", "replace")
            rules.add(IgnoreFile.parse(os.path.dirname(blob.file.path), os.path.basename(blob.file.path), text))
        return rules

    def _git(self, *arguments: str) -> bytes:
        try:
            return subprocess.run(
                self._command(*arguments), capture_output=True, check=True, env=self._env(), timeout=self._seconds
            ).stdout
        except subprocess.CalledProcessError as error:
            raise NotFound(
                error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:][0] if error.stderr else "git failed"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git took longer than {self._seconds:.0f} s", retry_after=60.0) from error
        except FileNotFoundError as error:
            raise Unavailable("git is not installed") from error

    def _command(self, *arguments: str) -> list[str]:
        allowed = [f"protocol.{name}.allow=always" for name in self._protocols.split(":") if name]
        safe = [word for setting in (*_SAFE, *allowed) for word in ("-c", setting)]
        return ["git", *safe, f"--git-dir={self._git_dir}", *arguments]

    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C",
        }  # fmt: skip


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
