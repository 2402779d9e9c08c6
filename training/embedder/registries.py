"""Sources of public packages, by the registries' own clients. Nothing of a package is executed."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

LARGEST_FILE = 400_000
"""Bytes; larger files are data or generated."""
_MOST_FILES = 4_000
_LIMIT_S = 300.0
_T = TypeVar("_T")
_R = TypeVar("_R")
_LOG = logging.getLogger("nearcode.training")


@dataclass(frozen=True)
class Fetched:
    """A package's unpacked sources, and what its registry says of it."""

    registry: str
    name: str
    version: str
    folder: Path
    licence: str = ""
    repository: str = ""


@dataclass(frozen=True)
class Place:
    """Where packages are kept (`packages`) and where clients may write on the way (`work`)."""

    packages: Path
    work: Path

    def folder(self, registry: str, name: str, version: str) -> Path:
        """A package's sources."""
        return self.packages / registry / f"{name.replace('/', '+').replace(':', '+')}-{version}"


def run(command: Sequence[str | Path], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A client's run; its failure is for the caller to read."""
    env = {**os.environ, **more}  # noqa: TID251  # the clients' own
    try:
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(map(str, command)), 1, "", str(error))


def fetch_pypi(names: Sequence[str], place: Place) -> Iterator[Fetched]:
    """Wheels: a source distribution would have to be built before its client hands it out."""

    def fetch(pinned: str) -> Fetched | None:
        name, _, version = pinned.partition("@")
        target = place.work / "pypi" / name
        wanted = f"{name}=={version}" if version else name
        command: list[str | Path] = [
            Path(sys.executable).with_name("uv"),
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            target,
            wanted,
        ]
        ended = run(command, place.work)
        metadata = next(target.glob("*.dist-info/METADATA"), None)
        if metadata is None:
            _LOG.warning("pypi %s: %s", name, ended.stderr.strip()[-200:])
            return None
        fields = metadata.read_text("utf-8", "replace").split("\n\n")[0].splitlines()
        found = next(line.split(": ", 1)[1] for line in fields if line.startswith("Version: "))
        folder = place.folder("pypi", name, found)
        if not folder.exists():
            shutil.copytree(target, folder, ignore=shutil.ignore_patterns("*.so", "*.pyc", "*.dylib", "*.lock", "__pycache__"))
            (folder / "README.md").write_text(_body(metadata), "utf-8")
        shutil.rmtree(target)
        return Fetched("pypi", name, found, folder, _python_licence(fields), _python_repository(fields))

    yield from _each(fetch, names)


def _body(metadata: Path) -> str:
    return metadata.read_text("utf-8", "replace").partition("\n\n")[2]


def _python_licence(fields: list[str]) -> str:
    for start in ("License-Expression: ", "Classifier: License :: ", "License: "):
        found = [line.removeprefix(start).rsplit(" :: ", 1)[-1] for line in fields if line.startswith(start)]
        found = [each for each in found if each != "OSI Approved"]
        if found:
            return " AND ".join(found)
    return ""


def _python_repository(fields: list[str]) -> str:
    links = [line for line in fields if line.startswith(("Project-URL: ", "Home-page: "))]
    return next((link.split()[-1] for link in links if "github.com" in link or "gitlab" in link), "")


def fetch_go(names: Sequence[str], place: Place) -> Iterator[Fetched]:
    """Modules, with their tests and documents."""
    cache = place.work / "go"
    cache.mkdir(parents=True, exist_ok=True)

    def fetch(pinned: str) -> Fetched | None:
        name, _, version = pinned.partition("@")
        command = ["go", "mod", "download", "-json", f"{name}@{version or 'latest'}"]
        ended = run(command, cache, GOMODCACHE=str(cache), GOFLAGS="-modcacherw")
        told = json.loads(ended.stdout) if ended.stdout.startswith("{") else {}
        if "Dir" not in told:
            _LOG.warning("go %s: %s", name, (told.get("Error") or ended.stderr)[-200:])
            return None
        folder = place.folder("go", name, told["Version"])
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(told["Dir"], folder)
        repository = "https://" + name if name.startswith("github.com/") else told.get("Origin", {}).get("URL", "")
        return Fetched("go", name, told["Version"], folder, "", repository)

    yield from _each(fetch, names)
    shutil.rmtree(cache, ignore_errors=True)


def fetch_crates(names: Sequence[str], place: Place) -> Iterator[Fetched]:
    """Crates. `cargo info` unpacks the crate that it tells about."""
    home = place.work / "cargo"
    home.mkdir(parents=True, exist_ok=True)
    for name in names:
        ended = run(["cargo", "info", name], home, CARGO_HOME=str(home), CARGO_TERM_COLOR="never")
        told = dict(line.split(": ", 1) for line in ended.stdout.splitlines() if ": " in line and not line.startswith(" "))
        version = told.get("version", "").split(" ")[0]
        found = next(home.glob(f"registry/src/*/{name.partition('@')[0]}-{version}"), None) if version else None
        if found is None:
            _LOG.warning("crates %s: %s", name, ended.stderr.strip()[-200:])
            continue
        folder = place.folder("crates", name.partition("@")[0], version)
        if not folder.exists():
            shutil.copytree(found, folder)
        yield Fetched("crates", name.partition("@")[0], version, folder, told.get("license", ""), told.get("repository", ""))
    shutil.rmtree(home, ignore_errors=True)


def fetch_npm(names: Sequence[str], place: Place) -> Iterator[Fetched]:
    """Packed packages."""
    work = place.work / "npm"
    work.mkdir(parents=True, exist_ok=True)

    def fetch(batch: Sequence[str]) -> list[Fetched]:
        ended = run(["npm", "pack", "--silent", "--json", "--ignore-scripts", *batch], work)
        packed = json.loads(ended.stdout) if ended.returncode == 0 and ended.stdout.startswith("[") else None
        if packed is None:
            if len(batch) == 1:
                _LOG.warning("npm %s: %s", batch[0], ended.stderr.strip()[-200:])
                return []
            return [found for name in batch for found in fetch([name])]
        return [_unpack_npm(work / each["filename"], each["name"], each["version"], place) for each in packed]

    batches = [names[at : at + 12] for at in range(0, len(names), 12)]
    for found in _each(fetch, batches):
        yield from found
    shutil.rmtree(work, ignore_errors=True)


def _unpack_npm(archive: Path, name: str, version: str, place: Place) -> Fetched:
    folder = place.folder("npm", name, version)
    unpack(archive, folder, strip=1)
    told = json.loads((folder / "package.json").read_text("utf-8", "replace"))
    licence, repository = told.get("license", ""), told.get("repository", "")
    return Fetched(
        "npm", name, version, folder,
        licence if isinstance(licence, str) else str(licence.get("type", "")),
        repository if isinstance(repository, str) else str(repository.get("url", "")),
    )  # fmt: skip


def fetch_maven(names: Sequence[str], place: Place) -> Iterator[Fetched]:
    """Archives of sources: one project that depends on all of them."""
    work = place.work / "maven"
    work.mkdir(parents=True, exist_ok=True)
    for at in range(0, len(names), 24):
        left = list(names[at : at + 24])
        for _ in range(8):
            (work / "pom.xml").write_text(_pom(left), "utf-8")
            goal = [
                "dependency:copy-dependencies",
                f"-DoutputDirectory={work / 'jars'}",
                f"-Dmaven.repo.local={work / 'local'}",
            ]
            ended = run(["mvn", "-q", "-B", *goal], work)
            missing = [name for name in left if "{}:{}:".format(*name.split(":")) in ended.stdout]
            if ended.returncode == 0 or not missing:
                break
            left = [name for name in left if name not in missing]
        for name in left:
            group, artifact, version = name.split(":")
            jar = work / "jars" / f"{artifact}-{version}-sources.jar"
            if not jar.exists():
                _LOG.warning("maven %s: %s", name, ended.stdout.strip()[-200:])
                continue
            folder = place.folder("maven", f"{group}:{artifact}", version)
            unpack(jar, folder)
            licence, repository = _read_poms(work / "local", group, artifact, version)
            yield Fetched("maven", f"{group}:{artifact}", version, folder, licence, repository)
    shutil.rmtree(work, ignore_errors=True)


def _pom(names: Sequence[str]) -> str:
    alone = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    parts = "<groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
    wanted = "".join(
        f"<dependency>{parts.format(*name.split(':'))}<classifier>sources</classifier>{alone}</dependency>" for name in names
    )
    head = "<modelVersion>4.0.0</modelVersion>" + parts.format("nearcode", "training", "1")
    return f"<project>{head}<dependencies>{wanted}</dependencies></project>"


def _read_poms(local: Path, group: str, artifact: str, version: str) -> tuple[str, str]:
    """Licence and repository, from the artifact's description or its parents'."""
    licence = repository = ""
    for _ in range(4):
        path = local / group.replace(".", "/") / artifact / version / f"{artifact}-{version}.pom"
        if not path.exists():
            break
        root = ElementTree.fromstring(path.read_bytes())
        root = ElementTree.fromstring(ElementTree.tostring(root).decode().replace("ns0:", ""))
        licence = licence or " OR ".join(each.text or "" for each in root.findall("licenses/license/name"))
        repository = repository or (root.findtext("scm/url") or root.findtext("url") or "")
        parent = root.find("parent")
        if parent is None or (licence and repository):
            break
        group, artifact, version = (parent.findtext(each) or "" for each in ("groupId", "artifactId", "version"))
    return licence, repository


def fetch_debian(names: Sequence[str], place: Place) -> Iterator[Fetched]:
    """Source packages, for languages whose own registries are out of reach. Needs apt."""
    work = place.work / "debian"
    (work / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={work / 'sources'}", "-o", "Dir::Etc::sourceparts=-"]
    apt += ["-o", f"Dir::State::lists={work / 'lists'}", "-o", f"Dir::Cache={work}", "-o", "APT::Sandbox::User=root"]
    (work / "sources").write_text(_debian_sources(), "utf-8")
    run([*apt, "update"], work)

    def fetch(pinned: str) -> Fetched | None:
        name, _, version = pinned.partition("@")
        into = work / "one" / name
        into.mkdir(parents=True, exist_ok=True)
        ended = run([*apt, "source", "--download-only", f"{name}={version}" if version else name], into)
        description = next(into.glob("*.dsc"), None)
        if description is None:
            _LOG.warning("debian %s: %s", name, ended.stderr.strip()[-200:])
            return None
        archives = [path for path in sorted(into.glob("*.tar.*")) if path.suffix != ".asc"]
        if not archives:
            _LOG.warning("debian %s: %s", name, ended.stderr.strip()[-200:])
            return None
        told = dict(line.split(": ", 1) for line in description.read_text("utf-8", "replace").splitlines() if ": " in line)
        folder = place.folder("debian", name, told["Version"].split(":")[-1])
        for archive in archives:
            unpack(archive, folder / "debian" if ".debian.tar" in archive.name else folder, strip=1)
        shutil.rmtree(into)
        return Fetched("debian", name, told["Version"], folder, "", told.get("Homepage", ""))

    yield from _each(fetch, names)
    shutil.rmtree(work, ignore_errors=True)


def _debian_sources() -> str:
    """The machine's own list of Debian, asked for sources."""
    for path in [*sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))]:
        blocks = path.read_text("utf-8").split("\n\n")
        for block in blocks:
            told = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith("#"))
            if "/debian" in told.get("URIs", "") and "main" in told.get("Components", ""):
                signed = f"[signed-by={told['Signed-By']}] " if "Signed-By" in told else ""
                return f"deb-src {signed}{told['URIs']} {told['Suites'].split()[0]} main\n"
    return ""


def unpack(archive: Path, folder: Path, strip: int = 0) -> None:
    """Regular files of at most LARGEST_FILE bytes, without their first `strip` folders. Nothing is written outside `folder`."""
    if archive.suffix in (".jar", ".zip", ".whl"):
        with zipfile.ZipFile(archive) as zipped:
            entries = [each for each in zipped.infolist() if not each.is_dir() and each.file_size <= LARGEST_FILE]
            for entry in entries[:_MOST_FILES]:
                _write(folder, entry.filename, strip, zipped.read(entry))
        return
    with tarfile.open(archive) as tar:
        written = 0
        for member in tar:
            if member.isfile() and member.size <= LARGEST_FILE and written < _MOST_FILES:
                opened = tar.extractfile(member)
                _write(folder, member.name, strip, opened.read() if opened else b"")
                written += 1


def _write(folder: Path, name: str, strip: int, data: bytes) -> None:
    parts = [part for part in name.split("/") if part not in ("", ".")][strip:]
    if parts and ".." not in parts and b"\0" not in data[:8000] and all(len(part) < 200 for part in parts):
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _each(fetch: Callable[[_T], _R | None], wanted: Sequence[_T]) -> Iterator[_R]:
    """Four at a time: they wait for the network."""
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(fetch, wanted):
            if found is not None:
                yield found


FETCHERS = {
    "pypi": fetch_pypi,
    "go": fetch_go,
    "crates": fetch_crates,
    "npm": fetch_npm,
    "maven": fetch_maven,
    "debian": fetch_debian,
}
