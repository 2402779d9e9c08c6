"""What a log line looks like: one an event, with its trace. Stacks without local variables, which may hold code."""

import logging
from functools import cache

import structlog
from structlog.types import EventDict, Processor

from nearcode.telemetry.propagation import current_trace_id


def structured_logger(name: str) -> structlog.stdlib.BoundLogger:
    """structlog's logger of that name, on top of the stdlib's logging."""
    _configure()
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def formatter(text: bool, colors: bool) -> logging.Formatter:
    """Lines for people (`text`) or one JSON object a line."""
    renderer: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if text:
        renderer = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


@cache
def _configure() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    if trace_id := current_trace_id():
        event.setdefault("trace_id", trace_id)
    return event
