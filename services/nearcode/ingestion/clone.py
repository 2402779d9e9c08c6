"""Our bare clone of one branch: fetched to a depth of one commit, mended when a killed git left it half made, made anew when it
is lost or broken. Whoever asks it for something gets that, or an error that says why not."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nearcode.domain.errors import NotFound, Reason, Unavailable
from nearcode.ingestion import fetch_errors
from nearcode.ingestion.credentials import Access
from nearcode.ingestion.fetch_errors import Asked
from nearcode.ingestion.git_command import Git, GitFailed

_TURN_SECONDS = 10.0
"""How long one waits for another fetch of the same clone; then it is said that it goes on. A thread waits; there are few."""
_LEFTOVERS = ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/pack/*.lock", "objects/??/tmp_obj_*", "objects/tmp_*")
"""What a killed git leaves: locks that stop every later one, and halves of packs that only take space."""


class Clone:
    """A branch of a remote repository. One at a time fetches; to read what is there needs no turn. Threads may share it."""

    def __init__(self, git: Git, url: str, branch: str, access: Access) -> None:
        self._git, self._url, self._branch, self._access = git, url, branch, access
        self._spelling = ""
        self._turn = threading.Lock()
        self._deleted = False
        self.made = 0
        """How often it was made anew by this process, until it was whole again. Who cannot read it says which one that was."""

    def bring(self, commit: str = "", broken: int | None = None) -> str:
        """The id of the branch's head, fetched now; or `commit`, if it is here or the host still has it, and else the head.
        `broken`: the clone of this number cannot be read. Raises NotFound and Unavailable, with a reason."""
        with self._turn_of_mine(broken):
            if commit and (self._has(f"{commit}^{{tree}}") or self._fetch_objects([commit], "--depth=1")):
                return commit
            return self._fetch_head()

    def restore(self, blobs: Sequence[str], broken: int | None = None) -> set[str]:
        """Brings objects back that a lost clone had: most are in the head. Returns those that the host has no more. `broken`:
        the clone of this number cannot be read. Raises NotFound, Unavailable."""
        with self._turn_of_mine(broken):
            if self._missing(blobs):
                self._fetch_head()
            if missing := self._missing(blobs):
                self._fetch_objects(missing)
            return set(self._missing(missing))

    def delete(self) -> None:
        """Deletes what is on the disk for good: whoever still holds this clone is refused. Again changes nothing. Raises
        Unavailable."""
        with self._turn_of_mine(deleting=True):
            self._deleted = True
            try:
                shutil.rmtree(self._git.git_dir)
            except FileNotFoundError:
                return  # never fetched, or deleted by an earlier try
            except OSError as error:
                message = f"the clone {self._git.git_dir} cannot be deleted now: {error.strerror}"
                raise Unavailable(message, retry_after=5.0) from error

    @contextmanager
    def _turn_of_mine(self, broken: int | None = None, deleting: bool = False) -> Iterator[None]:
        """While it lasts nobody else fetches. A broken clone is deleted first, unless somebody else made another since."""
        if not self._turn.acquire(timeout=_TURN_SECONDS):
            raise Unavailable(f"{self._url} is being fetched; ask again then", Reason.FETCH_IN_PROGRESS, retry_after=5.0)
        try:
            if self._deleted and not deleting:
                raise Unavailable(f"{self._url} is being disconnected", retry_after=1.0)
            if anew := broken == self.made:
                self._discard()
            yield
            self.made += anew
        finally:
            self._turn.release()

    def _fetch_head(self) -> str:
        reference = f"refs/heads/{self._branch}"
        try:
            self._fetch(["--depth=1"], [f"+{reference}:{reference}"])
        except NotFound as error:
            if error.reason == Reason.NO_SUCH_BRANCH and not self._ask("ls-remote", "--heads", "--end-of-options"):
                message = f"{self._url} is empty: push a first commit to {self._branch}"
                raise NotFound(message, Reason.NO_SUCH_BRANCH) from error
            raise
        return self._git.run("rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}").decode().strip()

    def _fetch_objects(self, names: Sequence[str], *options: str) -> bool:
        """Fetches objects by their ids. False if the host does not have them any more."""
        try:
            self._fetch(list(options), list(names))
        except GitFailed:
            return False
        return True

    def _fetch(self, options: list[str], wanted: list[str]) -> None:
        """Raises GitFailed for objects that are gone, else NotFound and Unavailable."""
        self._mend()
        words = ["fetch", "-q", "--no-tags", "--no-write-fetch-head", *options, "--stdin", "--end-of-options"]
        names = "".join(f"{name}\n" for name in wanted).encode()
        try:
            self._ask(*words, stdin=names)
        except _Damaged:
            self._discard()
            self._mend()
            self._ask(*words, stdin=names)
            self.made += 1

    def _ask(self, *words: str, stdin: bytes = b"") -> bytes:
        """Runs git against the remote, by the spelling of its URL that the host knows. A `.git` at its end is optional for
        us, and for most hosts; the others know one of the two."""
        shown = self._access.shown(self._url)
        asked = Asked(self._url, self._branch, shown.credentials, str(self._access.file or ""))
        spellings = [self._spelling] if self._spelling else [self._url, f"{self._url}.git"]
        for spelling in spellings:
            try:
                answer = self._git.run(*words, spelling, settings=shown.settings, stdin=stdin)
            except GitFailed as error:
                if fetch_errors.is_unknown(error.text) and spelling != spellings[-1]:
                    continue
                raise self._failure(error, asked) from error
            self._spelling = spelling
            return answer
        raise AssertionError("a repository has a spelling")

    def _failure(self, error: GitFailed, asked: Asked) -> Exception:
        if fetch_errors.is_gone(error.text):
            return error
        if fetch_errors.is_damaged(error.text):
            return _Damaged(fetch_errors.without_userinfo(error.last_line), Reason.FETCH_FAILED, retry_after=30.0)
        if fetch_errors.is_unknown(error.text):
            self._spelling = ""
        return fetch_errors.explained(error.text, asked)

    def _mend(self) -> None:
        """Makes what is not there of the clone, and takes away what a killed git left. It is our turn: nobody else is at it."""
        self._git.git_dir.mkdir(parents=True, exist_ok=True)
        for pattern in _LEFTOVERS:
            for leftover in self._git.git_dir.glob(pattern):
                leftover.unlink(missing_ok=True)
        try:
            self._git.run("init", "-q", "--bare", "--template=")
        except GitFailed as error:
            raise Unavailable(f"{self._git.git_dir} cannot be written: {error.last_line}", Reason.DISK_FULL, 60.0) from error

    def _discard(self) -> None:
        shutil.rmtree(self._git.git_dir, ignore_errors=True)

    def _has(self, name: str) -> bool:
        try:
            self._git.run("cat-file", "-e", name)
        except GitFailed:
            return False
        return True

    def _missing(self, blobs: Sequence[str]) -> list[str]:
        names = "".join(f"{blob}\n" for blob in blobs).encode()
        try:
            answer = self._git.run("cat-file", "--batch-check", stdin=names)
        except GitFailed:
            return list(blobs)
        return [line.split()[0] for line in answer.decode().splitlines() if line.endswith(" missing")]


class _Damaged(Unavailable):
    """The clone is broken; leaves this file only if a new one is broken, too."""
