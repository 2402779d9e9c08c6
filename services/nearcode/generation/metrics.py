"""What generation counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from nearcode.domain.completion import Outcome
from nearcode.generation.observer import GenerationObserver

FIRST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
"""Seconds: finest around 0.2, from where on a developer has typed on."""
ENDS = frozenset({"stop", "length", "deadline", "empty"})
"""How a text ends; other words are a model server's."""


class GenerationMetrics(GenerationObserver):
    """Counts texts and tokens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._texts = Counter(
            "nearcode_generations_total",
            "Texts by kind (completion, chat) and by how they ended: stop, length, deadline, empty.",
            ["kind", "finish"],
            registry=registry,
        )
        self._prompt = Counter(
            "nearcode_prompt_tokens_total", "Tokens that models were given to read, by kind.", ["kind"], registry=registry
        )
        self._written = Counter(
            "nearcode_generated_tokens_total", "Tokens that models wrote, by kind.", ["kind"], registry=registry
        )
        self._first = Histogram(
            "nearcode_first_token_seconds",
            "Seconds from asking a model to its first piece of text.",
            buckets=FIRST_BUCKETS,
            registry=registry,
        )

    def first_piece(self, seconds: float) -> None:
        self._first.observe(seconds)

    def answered(self, kind: str, outcome: Outcome) -> None:
        self._texts.labels(kind, outcome.finish_reason if outcome.finish_reason in ENDS else "other").inc()
        self._prompt.labels(kind).inc(outcome.prompt_tokens)
        self._written.labels(kind).inc(outcome.completion_tokens)
