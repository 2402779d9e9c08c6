"""A real git server over HTTPS: the chart's sample server on a loopback port. It ends with the test process."""

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from nearcode.runtime.child import leashed

from tests.certificates import LOCAL, Authority

Files = Mapping[str, str | bytes | None]
SCRIPT = Path(__file__).parents[1] / "charts/nearcode/files/tests/git_server.py"


@dataclass
class GitServer:
    """A running server. `ca` is the certificate of the authority that vouches for it."""

    root: Path
    ca: Path
    host: str
    port: int
    process: "subprocess.Popen[str]"
    password_file: Path

    def url(self, name: str) -> str:
        """The address of a repository, as `Address` spells it."""
        return f"https://{self.host}:{self.port}/{name}"

    def push(self, name: str, files: Files, branch: str = "main", *, message: str = "Change", force: bool = False) -> str:
        """Commits files on top of a branch and returns the commit's id; the repository is made if it is not there. A file
        that is None is deleted. `force`: the branch begins anew with these files alone."""
        repository = self._folder(name)
        if not repository.exists():
            _script.create(repository)
        return str(_script.commit(repository, files, branch=branch, message=message, when=int(time.time()), anew=force))

    def create(self, name: str) -> None:
        """An empty repository."""
        _script.create(self._folder(name))

    def sample(self, name: str) -> None:
        """The small shop that `helm test` uses."""
        _script.make_sample(self._folder(name))

    def remove(self, name: str) -> None:
        """The repository is gone."""
        shutil.rmtree(self._folder(name))

    def head(self, name: str, branch: str = "main") -> str:
        """The id of a branch's commit."""
        return self.git(name, "rev-parse", f"refs/heads/{branch}")

    def git(self, name: str, *arguments: str) -> str:
        """Runs git in a repository."""
        command = ["git", f"--git-dir={self._folder(name)}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def change_password(self, password: str) -> None:
        """From now on, who knows only the old one is refused."""
        self.password_file.write_text(password)

    def stop(self) -> None:
        """Ends the server in good order."""
        self.process.terminate()
        self.process.wait(10)

    def _folder(self, name: str) -> Path:
        return self.root / f"{name}.git"


@contextmanager
def git_server(
    folder: Path,
    authority: Authority,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    account: tuple[str, str] | None = None,
    dot_git: bool = False,
) -> Iterator[GitServer]:
    """Serves the repositories of `folder`/repositories. `account`: (user, password) that it asks for. `dot_git`: names
    without .git are redirected, as GitLab does. `host` is an address of this machine; `port` 0 means any free one."""
    root, password_file = folder / "repositories", folder / "password"
    root.mkdir(parents=True, exist_ok=True)
    pair = authority.issue(*dict.fromkeys((*LOCAL, host)), stem="git-server")
    command = [sys.executable, str(SCRIPT), "--root", str(root), "--cert", str(pair.cert), "--key", str(pair.key)]
    command += ["--listen", f"{host}:{port}"]
    if account:
        password_file.write_text(account[1])
        command += ["--username", account[0], "--password-file", str(password_file)]
    if dot_git:
        command.append("--dot-git")
    log = folder / "git-server.log"
    with (
        log.open("ab") as errors,
        subprocess.Popen(leashed(command), stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout
            told = process.stdout.readline()
            if not told.startswith("listening on "):
                raise AssertionError(f"the git server did not start; its log:\n{log.read_text(errors='replace')[-3000:]}")
            yield GitServer(root, authority.ca, host, int(told.rpartition(":")[2]), process, password_file)
        finally:
            process.kill()


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("git_server_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_script = _load()
