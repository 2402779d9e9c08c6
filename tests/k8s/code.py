"""Real code for repositories: packages that are installed wherever these tests run."""

import importlib
from pathlib import Path

SMALLEST, LARGEST = 200, 60_000
"""Bytes of a file."""


def files_of(package: str, most: int = 200) -> dict[str, str | bytes | None]:
    """Python files of an installed package, by their paths in a repository."""
    source = Path(importlib.import_module(package).__file__ or "").parent
    fitting = [file for file in sorted(source.rglob("*.py")) if SMALLEST <= file.stat().st_size <= LARGEST]
    return {f"{package}/{file.relative_to(source)}": file.read_bytes() for file in fitting[:most]}
