"""Links from an answer to the traces that indexed its sources."""

from collections.abc import Sequence

from opentelemetry import trace

from nearcode.domain.retrieval import Snippet
from nearcode.telemetry.propagation import links


def link_sources(snippets: Sequence[Snippet]) -> None:
    """Links the current span to the traces that indexed the snippets, each once."""
    span = trace.get_current_span()
    for linked in links([snippet.trace for snippet in snippets]):
        span.add_link(linked.context)
