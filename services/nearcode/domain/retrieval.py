"""Questions to the index and ranked answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nearcode.domain.budget import StageReport
from nearcode.domain.principal import Scope


@dataclass(frozen=True, slots=True)
class CodeCursor:
    """A place in a file that is being edited: the code before and after it."""

    path: str
    prefix: str
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: a question in words, or a cursor in code. `tokens` 0 means no limit."""

    question: str = ""
    cursor: CodeCursor | None = None
    limit: int = 10
    tokens: int = 0
    min_score: float = 0.0
    path_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A ranked piece of code. `reasons` are additive contributions that sum to `score`; `lost_because` is for losers."""

    repository: str
    path: str
    blob: str
    start_line: int
    end_line: int
    score: float
    text: str
    reasons: Mapping[str, float] = field(default_factory=dict)
    header: str = ""
    language: str = ""
    kind: str = ""
    definitions: tuple[str, ...] = ()
    trace: str = ""
    lost_because: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a retrieval found. `plan` is hybrid, lexical, dense or none; `dropped` counts failed re-checks."""

    snippets: tuple[Snippet, ...]
    plan: str
    losers: tuple[Snippet, ...] = ()
    stages: tuple[StageReport, ...] = ()
    dropped: int = 0


class Retriever(Protocol):
    """Finds the few pieces of code that matter."""

    async def retrieve(self, scope: Scope, query: Query, seconds: float) -> Context:
        """Answers within `seconds`, with a cheaper plan rather than late. Raises InvalidRequest, Unavailable."""
        ...

    async def explain(self, scope: Scope, query: Query, seconds: float) -> Context:
        """Like retrieve, with the losers and why they lost."""
        ...
