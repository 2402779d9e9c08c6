"""Files of real code, from what is installed wherever these tests run."""

import functools
import sysconfig
from pathlib import Path

SMALLEST, LARGEST = 800, 8_000
"""Bytes of a file."""


@functools.cache
def _pool() -> list[Path]:
    root = Path(sysconfig.get_paths()["purelib"])
    packages = ("hypothesis", "pydantic", "click", "rich", "aiohttp", "nats", "structlog", "_pytest", "kopf", "google")
    files = (file for package in packages for file in sorted((root / package).rglob("*.py")))
    return [file for file in files if SMALLEST <= file.stat().st_size <= LARGEST]


def code(start: int, count: int) -> dict[str, bytes]:
    """`count` files: the same for the same numbers, and others for others as far as there are enough. Each differs from every
    other, so that none is spared because it is known."""
    pool = _pool()
    picked = [(number, pool[number % len(pool)]) for number in range(start, start + count)]
    return {f"{file.parent.name}/{file.stem}_{number}.py": b"# %d\n" % number + file.read_bytes() for number, file in picked}
