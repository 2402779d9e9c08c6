"""Files for an image of a Python program: an environment made from uv.lock, the interpreter, git, and what they load."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.servers import ComponentMissing

ROOT = Path(__file__).parents[2]
HOME = "/opt/nearcode"
"""The environment's folder in an image."""
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
GIT, GIT_PROGRAMS, GIT_TEMPLATES = Path("/usr/bin/git"), Path("/usr/lib/git-core"), Path("/usr/share/git-core/templates")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SHELL = Path("/bin/sh")
USERS = "root:x:0:0:root:/root:/bin/sh\nnearcode:x:65532:65532:nearcode:/data:/bin/sh\n"
GROUPS = "root:x:0:\nnearcode:x:65532:\n"


class Venv:
    """An environment with the packages that `selection` (arguments of `uv sync`) names, and ours as they are now."""

    def __init__(self, folder: Path, selection: Sequence[str]) -> None:
        self.folder, self._selection = folder, selection
        self.packages = folder / "lib" / PYTHON / "site-packages"
        self.packages_inside = f"{HOME}/lib/{PYTHON}/site-packages"

    def sync(self) -> None:
        """Brings it to uv.lock's state: seconds, or less where little changed."""
        command = [
            str(Path(sys.prefix, "bin", "uv")),
            "sync",
            "--frozen",
            "--quiet",
            "--no-dev",
            "--no-editable",
            *self._selection,
        ]
        command += ["--reinstall-package", "nearcode", "--reinstall-package", "nearcode-operator"]
        command += ["--python", str(_interpreter()), "--link-mode", "hardlink"]
        environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(self.folder)}
        environment.pop("VIRTUAL_ENV", None)
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise ComponentMissing(f"`uv sync` failed; check the package index and try again:\n{done.stderr[-2000:]}")

    def frame(self) -> dict[str, Path]:
        """What makes a folder of packages an environment."""
        frame = self.folder.parent / f"{self.folder.name}-frame"
        frame.mkdir(exist_ok=True)
        (frame / "pyvenv.cfg").write_text("home = /usr/local/bin\ninclude-system-site-packages = false\n")
        link = frame / "python"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/local/bin/{PYTHON}")
        return {f"{HOME}/pyvenv.cfg": frame / "pyvenv.cfg"} | {f"{HOME}/bin/{alias}": link for alias in ("python", "python3")}

    def programs(self, names: Iterable[str]) -> dict[str, Path]:
        """The environment's programs, which find the interpreter where it is in the image."""
        found = {}
        for name in names:
            program, moved = self.folder / "bin" / name, self.folder.parent / f"{self.folder.name}-frame" / name
            moved.write_bytes(program.read_bytes().replace(str(self.folder).encode(), HOME.encode(), 1))
            moved.chmod(0o755)
            found[f"{HOME}/bin/{name}"] = moved
        return found


def python_files(scratch: Path) -> dict[str, Path]:
    """The interpreter that runs this, below /usr/local."""
    link = scratch / "python3"
    link.unlink(missing_ok=True)
    link.symlink_to(PYTHON)
    return {
        f"/usr/local/bin/{PYTHON}": _interpreter(),
        "/usr/local/bin/python3": link,
        f"/usr/local/lib/{PYTHON}": Path(sys.base_prefix, "lib", PYTHON),
    }


def system_files(scratch: Path) -> dict[str, Path]:
    """What every slim image has: users, the authorities of the web, a shell."""
    (scratch / "passwd").write_text(USERS)
    (scratch / "group").write_text(GROUPS)
    if not CERTIFICATES.exists():
        raise ComponentMissing(f"{CERTIFICATES} is missing: install the Debian package ca-certificates.")
    return {
        "/etc/passwd": scratch / "passwd",
        "/etc/group": scratch / "group",
        str(CERTIFICATES): CERTIFICATES,
        str(SHELL): SHELL.resolve(),
    }


def git_files() -> dict[str, Path]:
    """git, with the programs that fetch and serve over HTTPS."""
    if not (GIT.exists() and GIT_PROGRAMS.exists()):
        raise ComponentMissing(f"{GIT} or {GIT_PROGRAMS} is missing: install the Debian package git.")
    return {str(path): path for path in (GIT, GIT_PROGRAMS, GIT_TEMPLATES)}


def libraries(files: Iterable[Path], within: Path | None = None) -> dict[str, Path]:
    """The shared libraries that files, or those in folders, load, by their paths; but for those `within` a folder."""
    binaries = [str(binary) for file in files for binary in _binaries(file)]
    listed = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False, timeout=120).stdout
    found = {}
    for line in listed.splitlines():
        words = line.split()
        path = words[2] if "=>" in words and len(words) > 2 else words[0] if words else ""
        if path.startswith("/") and not path.endswith(":") and not (within and Path(path).is_relative_to(within)):
            found[path] = Path(path).resolve()
    return found


def _binaries(file: Path) -> Iterator[Path]:
    candidates = file.rglob("*") if file.is_dir() else [file]
    for candidate in candidates:
        if candidate.is_file() and not candidate.is_symlink() and (".so" in candidate.name or os.access(candidate, os.X_OK)):
            with candidate.open("rb") as stream:
                if stream.read(4) == b"\x7fELF":
                    yield candidate


def _interpreter() -> Path:
    return Path(sys.base_prefix, "bin", PYTHON).resolve()
