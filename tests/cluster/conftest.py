"""What cluster tests index."""

import importlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.trials import trials

SOURCES = (
    "nearcode.adapters", "nearcode.chunking", "nearcode.cli", "nearcode.domain", "nearcode.embedding", "nearcode.gateway",
    "nearcode.generation", "nearcode.ingestion", "nearcode.retrieval", "nearcode.runtime", "nearcode.telemetry", "_pytest",
    "click", "grpc", "hypothesis.strategies", "nats", "pydantic", "qdrant_client", "rich", "structlog",
)  # fmt: skip
"""Packages whose files make a repository each: all real code that is installed wherever these tests run."""
FILES = 10
SMALLEST, LARGEST = 1_000, 10_000
"""Bytes of a file."""


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty small git repositories of real code."""
    root = tmp_path_factory.mktemp("code")
    return [_repository(root / name, name, trials(FILES, 3)) for name in SOURCES]


def _repository(folder: Path, package: str, files: int) -> Path:
    folder.mkdir()
    for file in list(_files(package))[:files]:
        (folder / file.name).write_bytes(file.read_bytes())
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "."], check=True)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "-C", str(folder), *author, "commit", "--quiet", "--message", "all"], check=True)
    return folder


def _files(package: str) -> Iterator[Path]:
    source = Path(importlib.import_module(package).__file__ or "").parent
    for file in sorted(source.glob("*.py")):
        if SMALLEST <= file.stat().st_size <= LARGEST:
            yield file
