"""Questions to the index and ranked answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

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
    """What is asked: a question in words, or a cursor in code. `tokens` 0 means no limit; `everything`: also what is unlikely
    to be useful."""

    question: str = ""
    cursor: CodeCursor | None = None
    limit: int = 10
    tokens: int = 0
    min_score: float = 0.0
    path_prefix: str = ""
    everything: bool = False


class LaneFind(NamedTuple):
    """A lane that found a chunk: its rank there, from 1, and the lane's own score (cosine, sum of weighted words)."""

    lane: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Snippet:
    """A ranked piece of code. `reasons` are additive contributions that sum to `score`; `lanes` found it; `probability` says
    how likely it is useful, 0 to 1; `id` names the chunk in the index and in traces; `lost_because` is for losers."""

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
    lanes: tuple[LaneFind, ...] = ()
    probability: float = 0.0
    id: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a retrieval found. `plan` is hybrid, lexical, dense or none; `dropped` counts failed re-checks.

    `probability` says how likely any of it is useful, 0 to 1; not `useful` is the answer "no useful context", which has no
    snippets unless everything was asked for. `evidence`, for Explain, is what the probability was computed from.
    """

    snippets: tuple[Snippet, ...]
    plan: str
    losers: tuple[Snippet, ...] = ()
    stages: tuple[StageReport, ...] = ()
    dropped: int = 0
    probability: float = 0.0
    useful: bool = True
    evidence: Mapping[str, float] = field(default_factory=dict)


class Retriever(Protocol):
    """Finds the few pieces of code that matter."""

    async def retrieve(self, scope: Scope, query: Query, seconds: float) -> Context:
        """Answers within `seconds`, with a cheaper plan rather than late. Raises InvalidRequest, Unavailable."""
        ...

    async def explain(self, scope: Scope, query: Query, seconds: float) -> Context:
        """Like retrieve, with the losers and why they lost."""
        ...
