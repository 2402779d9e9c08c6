"""Runs git: with an empty environment, without hooks, and with only the protocols that are allowed."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nearcode.domain.errors import Reason, Unavailable
from nearcode.runtime.child import leashed

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.followRedirects=false",
    "protocol.allow=never",
)
_ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.defpath,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}


class GitFailed(Exception):
    """Git ended with an error; `text` is all that it said."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def last_line(self) -> str:
        """What it said last, which is the reason most of the time."""
        lines = self.text.strip().splitlines()
        return lines[-1] if lines else "git failed"


@dataclass(frozen=True, slots=True)
class Git:
    """A git directory, and how git is run there. `protocols` are those it may fetch by, separated by colons."""

    git_dir: Path
    protocols: str = ""
    seconds: float = 900.0

    def run(self, *arguments: str, settings: Mapping[str, str] | None = None, stdin: bytes = b"") -> bytes:
        """What git says on stdout. `settings` travel in its environment, where no list of processes shows them; git dies with
        this process. Raises GitFailed, and Unavailable when it takes too long or is not installed."""
        git = shutil.which("git", path=_ENVIRONMENT["PATH"])
        if git is None:
            raise Unavailable("git is not installed")
        command = leashed([git, *self.command(*arguments)[1:]]) if settings else self.command(*arguments)
        pipe, environment = subprocess.PIPE, self.environment(settings)
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        ) as process:
            try:
                said, complaint = process.communicate(stdin, self.seconds)
            except subprocess.TimeoutExpired as error:
                raise Unavailable(
                    f"git took longer than {self.seconds:.0f} s", Reason.FETCH_FAILED, retry_after=60.0
                ) from error
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # with the programs that git started
        if process.returncode:
            raise GitFailed(complaint.decode("utf-8", "replace"))
        return said

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        allowed = [f"protocol.{name}.allow=always" for name in self.protocols.split(":") if name]
        safe = [word for setting in (*_SAFE, *allowed) for word in ("-c", setting)]
        return ["git", *safe, f"--git-dir={self.git_dir}", *arguments]

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """All that git learns of this machine."""
        given = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
        for number, (key, value) in enumerate((settings or {}).items()):
            given |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {**_ENVIRONMENT, **given}
