"""Where logs go: stderr, or a file."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from nearcode.telemetry.settings import TelemetrySettings

_QUIET = ("grpc", "watchfiles", "aiohttp.access", "nats", "httpx", "httpcore", "asyncio")
"""Loggers of libraries that tell at INFO what is no news to an operator."""


class _LateFormatter(logging.Formatter):
    """A formatter that is built when the first line comes (see telemetry/log.py)."""

    def __init__(self, build: Callable[[], logging.Formatter]) -> None:
        super().__init__()
        self._build = build
        self._built: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._built is None:
            self._built = self._build()
        return self._built.format(record)


def set_up_logs(settings: TelemetrySettings, file: Path | None = None) -> TextIO | None:
    """Sends our logs and the libraries' to stderr, or to `file`, which is returned to be closed at the end."""
    opened = _open(file) if file else None
    stream = opened or sys.stderr
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())

    def build() -> logging.Formatter:
        from nearcode.telemetry.structured import formatter

        return formatter(text, stream.isatty())

    logging.raiseExceptions = False  # a full disk is told of by what needs it, not by a stack for each line that is lost
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LateFormatter(build))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    return opened


def _open(file: Path) -> TextIO:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.open("a", encoding="utf-8", errors="replace", buffering=1)
