"""Spans that never quote: a failure leaves its kind, not its text, which may hold code. Stages of a budget as spans."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from nearcode.domain.budget import Budget, Share, StageReport
from nearcode.domain.errors import NearcodeError
from nearcode.telemetry import conventions


@contextmanager
def spanned(
    tracer: trace.Tracer, name: str, attributes: conventions.Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[trace.Span]:
    """Runs the block inside a span, which is the running one there."""
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            failed(span, error)
            raise


@contextmanager
def inner(tracer: trace.Tracer, name: str, attributes: conventions.Attributes) -> Iterator[None]:
    """A client's span of the block, if there is a trace that it belongs to: probes and upkeep make none of their own."""
    if not trace.get_current_span().get_span_context().is_valid:
        yield
        return
    with spanned(tracer, name, attributes, SpanKind.CLIENT):
        yield


@contextmanager
def detached(
    tracer: trace.Tracer, name: str, attributes: conventions.Attributes, kind: SpanKind = SpanKind.CLIENT
) -> Iterator[trace.Span]:
    """A span beside the block: the running one stays what it was. For generators, whose consumer is another context."""
    span = tracer.start_span(name, kind=kind, attributes=attributes)
    try:
        yield span
    except Exception as error:
        failed(span, error)
        raise
    finally:
        span.end()


def failed(span: trace.Span, error: BaseException) -> None:
    """Marks a span as failed, with the kind of the error."""
    kind = error.reason if isinstance(error, NearcodeError) else ""
    span.set_attribute(conventions.ERROR_TYPE, str(kind) or type(error).__name__)
    span.set_status(trace.StatusCode.ERROR)


@contextmanager
def staged(
    tracer: trace.Tracer, budget: Budget, name: str, observe: Callable[[StageReport], None] = lambda report: None
) -> Iterator[Share]:
    """Runs a stage inside a span that carries its allotted, spent and carried milliseconds; `observe` is told of it, too."""
    with spanned(tracer, name) as span:
        try:
            with budget.stage(name) as share:
                yield share
        finally:
            report = next(report for report in reversed(budget.reports) if report.name == name)
            span.set_attributes(
                {
                    conventions.BUDGET_ALLOTTED: round(report.allotted_ms, 3),
                    conventions.BUDGET_SPENT: round(report.spent_ms, 3),
                    conventions.BUDGET_CARRIED: round(report.carried_ms, 3),
                    conventions.BUDGET_SKIPPED: report.skipped,
                }
            )
            observe(report)
