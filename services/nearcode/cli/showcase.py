"""What the demo shows: a project, and what to look for in it."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nearcode.cli import output
from nearcode.domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Showcase:
    """A project by package name, version and the sha256 of its sdist; a query, a question and a place to complete at.

    Without `file` the place is taken from the best hit of the query.
    """

    query: str
    question: str
    package: str = ""
    version: str = ""
    sha256: str = ""
    file: str = ""
    anchor: str = ""


FLASK = Showcase(
    query="how is the session cookie signed",
    question="Which class signs the session cookie, and with which key?",
    package="flask",
    version="3.1.3",
    sha256="0ef0e52b8a9cd932855379197dd8f94047b359ca0a78695144304cb45f87c9eb",
    file="src/flask/sessions.py",
    anchor="val = self.get_signing_serializer(app).",
)


def of_own_code() -> Showcase:
    """What can be asked of any project."""
    return Showcase(query="the main entry point of the program", question="What does this project do, and where does it start?")


def fetch(showcase: Showcase, folder: Path) -> Path:
    """The unpacked sdist below `folder`; fetched with pip if it is not there yet. Raises Unavailable."""
    name = f"{showcase.package}-{showcase.version}"
    unpacked = folder / name
    if unpacked.is_dir():
        return unpacked
    output.note(f"fetching the source of {name} with pip")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archive = _download(showcase, Path(scratch))
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (Path(scratch) / name).rename(unpacked)
    return unpacked


def _download(showcase: Showcase, folder: Path) -> Path:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{showcase.package}=={showcase.version} --hash=sha256:{showcase.sha256}\n")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", showcase.package, "--require-hashes"]
    command = [*_pip(), "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    archive = next(folder.glob("*.tar.gz"), None)
    if done.returncode or not archive:
        reason = (done.stderr.strip().splitlines() or ["no archive"])[-1]
        raise Unavailable(f"pip cannot fetch {showcase.package} ({reason}); show your own code instead: nearcode demo PATH")
    return archive


def _pip() -> list[str]:
    """pip of this environment, or of the machine: environments made by uv have none of their own."""
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, capture_output=True).returncode == 0:
        return probe[:-1]
    found = shutil.which("pip3") or shutil.which("pip")
    if not found:
        raise Unavailable(
            "the demo fetches its project with pip, which is not installed; show your own code: nearcode demo PATH"
        )
    return [found]


@dataclass(frozen=True, slots=True)
class Cut:
    """A file with the end of one line taken away: what a model is asked to write."""

    line: int
    column: int
    prefix: str
    suffix: str
    before: str
    taken: str


def cut_line(source: str, anchor: str, first: int) -> Cut | None:
    """Cuts after `anchor`; without one, in the first call or assignment from line `first` on."""
    if anchor:
        at = source.find(anchor)
        return _cut(source, at + len(anchor)) if at >= 0 else None
    offset = 0
    for number, text in enumerate(source.split("\n"), 1):
        opening = max(text.find("("), text.find("= ") + 1)
        if number > first and opening > 0 and text[opening + 1 :].strip() and text[:1].isspace():
            return _cut(source, offset + opening + 1)
        offset += len(text) + 1
    return None


def _cut(source: str, at: int) -> Cut:
    begin, end = source.rfind("\n", 0, at) + 1, source.find("\n", at)
    end = len(source) if end < 0 else end
    line = source.count("\n", 0, at) + 1
    return Cut(line, at - begin + 1, source[:at], source[end:], source[begin:at].strip(), source[at:end].strip())
