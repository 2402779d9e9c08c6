"""Loads the NATS client library without the part that we do not use."""

import importlib
import sys


def load_without_websockets() -> None:
    """Imports nats-py. It would load aiohttp, an eighth of a second, to speak NATS over websockets, and does without where
    aiohttp is not installed: for the moment of its import, it is not."""
    hide = "aiohttp" not in sys.modules
    if hide:
        sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("nats.aio.client")
    finally:
        if hide:
            del sys.modules["aiohttp"]
