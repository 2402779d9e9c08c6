"""The home folder: one process works in it at a time, and others find that process there."""

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from nearcode.domain.errors import Conflict, Reason, Unavailable

_LONGEST_SOCKET = 100
"""Characters. The kernel takes 107 (Linux) or 103 (macOS) bytes of a Unix socket's path."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The process that works in a home, as it wrote it down for others. `pid` alone: it is not ready, or serves nobody."""

    pid: int
    address: str = ""
    ops: str = ""
    events: str = ""


class Home:
    """A home folder. Raises Unavailable(DISK_FULL) and Conflict(HOME_LOCKED)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Makes the folder, readable by its owner alone."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise home_error(error, self.folder) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the home until the block ends; the system lets go of it when the process dies."""
        self.prepare()
        try:
            file = (self.folder / "engine.lock").open("a+b")
        except OSError as error:
            raise home_error(error, self.folder) from error
        with file:
            if not try_lock(file):
                engine = self.engine()
                who = f"process {engine.pid}" if engine else "another process"
                raise Conflict(f"{who} already works in {self.folder}: use it, or stop it first", Reason.HOME_LOCKED)
            self.announce(Engine(os.getpid()))
            try:
                yield
            finally:
                self._record.unlink(missing_ok=True)

    def is_locked(self) -> bool:
        """Whether somebody works here now."""
        try:
            with (self.folder / "engine.lock").open("rb") as file:
                return not try_lock(file)  # a lock of ours ends with the file
        except OSError:
            return False

    def announce(self, engine: Engine) -> None:
        """Writes down who works here and where he listens. Readable by the owner alone: `events` holds a token."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".engine")
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(engine), file)
            Path(name).replace(self._record)
        except OSError as error:
            raise home_error(error, self.folder) from error

    def engine(self) -> Engine | None:
        """Who works here, if anybody does; what a killed process left is not believed by `locked`."""
        try:
            return Engine(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def socket(self) -> str:
        """Path of the engine's Unix socket: in the home, or in a private folder of the system's where that is too long."""
        path = self.folder / "engine.sock"
        if len(str(path)) <= _LONGEST_SOCKET:
            return str(path)
        private = Path(tempfile.gettempdir()) / f"nearcode-{os.getuid() if sys.platform != 'win32' else 0}"
        private.mkdir(mode=0o700, exist_ok=True)
        if sys.platform != "win32" and (private.stat().st_uid != os.getuid() or private.is_symlink()):
            raise Unavailable(f"{private} belongs to somebody else: choose a shorter home than {self.folder}")
        return str(private / f"{hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]}.sock")

    @property
    def _record(self) -> Path:
        return self.folder / "engine.json"


def home_error(error: OSError, folder: Path) -> Unavailable:
    """What an operating system's error in the home means to a person."""
    if error.errno == errno.ENOSPC:
        return Unavailable(
            f"no space is left on the disk of {folder}: free some, or choose another home", Reason.DISK_FULL, 10.0
        )
    return Unavailable(f"{folder} cannot be used: {error.strerror}. Choose another home: --home or NEARCODE_HOME")


def try_lock(file: IO[bytes]) -> bool:
    """Takes the lock of an open file, unless another process has it; it ends with the file or the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
