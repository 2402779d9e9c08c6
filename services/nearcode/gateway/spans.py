"""A stage of the budget as a span of the trace, and links from an answer to the traces that indexed its sources."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace

from nearcode.domain.budget import Budget, Share
from nearcode.domain.retrieval import Snippet
from nearcode.telemetry.propagation import links


@contextmanager
def staged(tracer: trace.Tracer, budget: Budget, name: str) -> Iterator[Share]:
    """Runs a stage inside a span that carries its allotted, spent and carried milliseconds."""
    with tracer.start_as_current_span(name) as span:
        with budget.stage(name) as share:
            yield share
        report = next(report for report in reversed(budget.reports) if report.name == name)
        span.set_attributes(
            {
                "nearcode.budget.allotted_ms": round(report.allotted_ms, 3),
                "nearcode.budget.spent_ms": round(report.spent_ms, 3),
                "nearcode.budget.carried_ms": round(report.carried_ms, 3),
                "nearcode.budget.skipped": report.skipped,
            }
        )


def link_sources(snippets: Sequence[Snippet]) -> None:
    """Links the current span to the traces that indexed the snippets, each once."""
    span = trace.get_current_span()
    for linked in links([snippet.trace for snippet in snippets]):
        span.add_link(linked.context)
