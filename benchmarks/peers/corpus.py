"""What is asked of what: the repositories of a benchmark, as checked out, with their questions."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETS = {"roots": "benchmark roots", "whole": "whole repositories"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A folder to index and what to ask of it. `key` stands for its name in results, which name no repository."""

    key: str
    name: str
    language: str
    folder: Path
    questions: tuple[dict[str, Any], ...]


def load(corpus: Path, repos: Path, annotations: Path, whole: bool, names: Sequence[str] = ()) -> list[Subject]:
    """The repositories listed in `repos` (`name`, `root`, `language`), all or some. Exits when a checkout is missing."""
    subjects = []
    for repo in json.loads(repos.read_text("utf-8")):
        name = repo["name"]
        if names and name not in names:
            continue
        folder = (corpus / name / ("" if whole else repo["root"] or "")).resolve()
        if not folder.is_dir():
            raise SystemExit(f"{folder} is missing: check out every repository of {repos} below {corpus}")
        questions = json.loads((annotations / f"{name}.json").read_text("utf-8"))
        subjects.append(Subject(keyed(name), name, repo["language"], folder, tuple(questions)))
    return subjects


def keyed(name: str) -> str:
    """What a repository is called in results: the first 12 hex digits of its name's sha256."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]
