"""The picture of a result: goodput and latency against the offered rate, with and without admission control."""

from pathlib import Path

from loadtest.campaign import Result
from loadtest.figures import Run


def plot(result: Result, path: Path, commit: str) -> None:
    path.write_bytes(b"")
