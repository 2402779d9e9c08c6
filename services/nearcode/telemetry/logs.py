"""Logs: one line an event, with the trace it belongs to. Stacks without local variables, which may hold code."""

import logging
import sys
from pathlib import Path
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor

from nearcode.telemetry.propagation import current_trace_id
from nearcode.telemetry.settings import TelemetrySettings

_QUIET = ("grpc", "aiohttp.access", "nats", "httpx", "httpcore", "asyncio")
"""Loggers of libraries that tell at INFO what is no news to an operator."""


def set_up_logs(settings: TelemetrySettings, file: Path | None = None) -> TextIO | None:
    """Sends structlog and the stdlib's logging to stderr, or to `file`, which is returned to be closed at the end."""
    opened = _open(file) if file else None
    stream = opened or sys.stderr
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    renderer: list[Processor] = [
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if not text:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return opened


def _open(file: Path) -> TextIO:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.open("a", encoding="utf-8", errors="replace", buffering=1)


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    if trace_id := current_trace_id():
        event.setdefault("trace_id", trace_id)
    return event
