"""Spans as lines of JSON in a file that several processes append to."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id

from nearcode.telemetry.traces import SpanLine


class FileSpanExporter(SpanExporter):
    """Appends spans to a file in one write a batch: the kernel keeps appends of several processes apart (not on Windows)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Writes a batch. A full disk loses spans, never the service."""
        text = "".join(json.dumps(asdict(_line(span)), ensure_ascii=False) + "\n" for span in spans)
        try:
            os.write(self._file, text.encode("utf-8", "replace"))
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back here."""
        return True


def _line(span: ReadableSpan) -> SpanLine:
    context = span.get_span_context()
    assert context
    return SpanLine(
        name=span.name,
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        parent_id=format_span_id(span.parent.span_id) if span.parent else "",
        service=str(span.resource.attributes.get("service.name", "")),
        kind=span.kind.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        status=span.status.status_code.name,
        attributes=dict(span.attributes or {}),
        links=[f"{format_trace_id(link.context.trace_id)}-{format_span_id(link.context.span_id)}" for link in span.links],
    )
