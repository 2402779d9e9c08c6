"""Loggers that cost nothing until something is said: structlog takes a fifth of a second to load, and most commands that
ask one question have nothing to log."""

from typing import Any


class Logger:
    """`log.warning("what happened", key=value)`: structlog's methods, loaded by the first of them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        from nearcode.telemetry.structured import structured_logger

        return getattr(structured_logger(self._name), method)


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)
