"""Reads traces back from a spans file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SpanLine:
    """A finished span as `spans_file` holds it. Times in nanoseconds since the epoch; `links` are `trace_id-span_id`."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    service: str = ""
    kind: str = ""
    start_ns: int = 0
    end_ns: int = 0
    status: str = ""
    attributes: dict[str, object] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)


def read_trace(path: Path, trace_id: str) -> list[SpanLine]:
    """The spans of a trace in the order they began, by every process that wrote to the file so far."""
    found = [span for span in read_spans(path) if span.trace_id == trace_id]
    return sorted(found, key=lambda span: (span.start_ns, -span.end_ns))


def read_spans(path: Path) -> Iterator[SpanLine]:
    """Every span of a file. A last line without its end is still being written and is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield SpanLine(**json.loads(line))
