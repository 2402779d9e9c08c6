"""Trace context as text, to carry it over gRPC metadata, message headers and stored points (W3C Trace Context)."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_TRACEPARENT = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


def current_traceparent() -> str:
    """The W3C traceparent of the running span; empty when there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_TRACEPARENT, "")


def current_trace_id() -> str:
    """The running trace's id, 32 hex digits; empty when there is none."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else ""


@contextmanager
def use_traceparent(traceparent: str) -> Iterator[None]:
    """Spans started inside are children of `traceparent`. An empty or malformed one begins a new trace."""
    remote = _PROPAGATOR.extract({_TRACEPARENT: traceparent}, context=context.Context())
    token = context.attach(trace.set_span_in_context(trace.get_current_span(remote)))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def ensure_trace() -> Iterator[str]:
    """Yields the running trace's id, making one up where spans are off, so that logs and errors of a call share an id."""
    if known := current_trace_id():
        yield known
        return
    # Marked as sampled: a service further down that does record spans must not drop the call for our sake.
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    made = trace.SpanContext(random.getrandbits(128) or 1, random.getrandbits(64) or 1, is_remote=False, trace_flags=flags)
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(made)))
    try:
        yield trace.format_trace_id(made.trace_id)
    finally:
        context.detach(token)


def traceparent_of(span: trace.Span) -> str:
    """The W3C traceparent of a span that need not be the running one; empty when it belongs to no trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
    return carrier.get(_TRACEPARENT, "")


def link(traceparent: str) -> trace.Link | None:
    """A span link to the span that `traceparent` names; None when it names none, or one that was not recorded."""
    remote = _PROPAGATOR.extract({_TRACEPARENT: traceparent}, context=context.Context())
    found = trace.get_current_span(remote).get_span_context()
    return trace.Link(found) if found.is_valid and found.trace_flags.sampled else None


def links(traceparents: list[str]) -> list[trace.Link]:
    """Links to all that name a span, each once."""
    return [found for found in map(link, dict.fromkeys(traceparents)) if found]
