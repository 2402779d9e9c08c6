"""Asks a retriever the questions of one repository and scores what it answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nearcode.domain.principal import Scope
from nearcode.domain.retrieval import Query, Retriever, Snippet
from nearcode.evaluation.question import Kind, Question, code_cursor
from nearcode.evaluation.scoring import FIRST, names_found, names_precision, ndcg, precision, recall

BUDGETS = (500, 1_000, 2_000, 4_000)
"""Tokens that a prompt has room for."""
MAIN_BUDGET = 2_000
_ASKED = 25
"""Snippets asked for: as many as the lanes bring candidates for anyway, and about 4,000 tokens."""
_SECONDS = 60.0
"""Nobody waits: the plan is never a cheaper one."""


Fit = Callable[[Sequence[Snippet], int], Sequence[Snippet]]
"""Ranked snippets and a number of tokens to those that a prompt of this size gets."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one question. `metrics` maps names (`ndcg@10`, `recall@2000`) to 0..1, and `ms` to milliseconds; a
    precision is absent where nothing was returned."""

    question: str
    kind: Kind
    metrics: Mapping[str, float]

    @property
    def score(self) -> float:
        """The one figure that answers are compared by: nDCG@10, or the share of a completion's names at 2,000 tokens."""
        return self.metrics[main_metric(self.kind)]


def main_metric(kind: Kind) -> str:
    """What counts most for a kind of question."""
    return f"recall@{MAIN_BUDGET}" if kind is Kind.COMPLETION else "ndcg@10"


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks about one repository. `files` are its bytes by path, as they are under the cursors. `everything`: also for what is
    hardly useful, so that only the order counts and no cut-off."""

    retriever: Retriever
    scope: Scope
    files: Mapping[str, bytes]
    fit: Fit
    everything: bool = False
    clock: Callable[[], float] = time.perf_counter

    async def answer(self, question: Question) -> Answer:
        """Asks once, and fits what comes back to each token budget. Raises what the retriever raises."""
        cursor = code_cursor(question.cursor, self.files[question.cursor.path]) if question.cursor else None
        query = Query(question=question.text, cursor=cursor, limit=_ASKED, everything=self.everything)
        began = self.clock()
        snippets = (await self.retriever.retrieve(self.scope, query, _SECONDS)).snippets
        milliseconds = (self.clock() - began) * 1e3
        return Answer(question.id, question.kind, {**scores(question, snippets, self.fit), "ms": milliseconds})


def scores(question: Question, snippets: Sequence[Snippet], fit: Fit) -> dict[str, float]:
    """The metrics of ranked snippets as an answer."""
    metrics: dict[str, float] = {}
    if question.answers:
        score = ndcg(snippets[:FIRST], question.answers)
        metrics = {"ndcg@10": score, "hit@10": float(score > 0)}
    for budget in BUDGETS:
        metrics |= _at_budget(question, fit(snippets, budget), budget)
    return metrics


def _at_budget(question: Question, snippets: Sequence[Snippet], tokens: int) -> dict[str, float]:
    if question.identifiers:
        found = names_found(snippets, question.identifiers)
        useful = names_precision(snippets, question.identifiers)
        metrics = {
            f"recall@{tokens}": found / len(question.identifiers),
            f"lift@{tokens}": found / (question.known + len(question.identifiers)),
        }
    else:
        metrics = {f"recall@{tokens}": recall(snippets, question.answers)}
        useful = precision(snippets, question.answers)
    return metrics if useful is None else metrics | {f"precision@{tokens}": useful}
