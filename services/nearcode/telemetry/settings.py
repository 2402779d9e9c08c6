"""Settings of traces and logs."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TelemetrySettings(BaseModel):
    """What a process tells about itself. Neither traces nor logs hold code."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spans: Literal["off", "file", "otlp"] = "off"
    """Where traces go. `off` also saves loading the OpenTelemetry SDK."""
    spans_file: str = ""
    """File that `file` appends to, a JSON object a span; processes may share it. Empty: `spans.jsonl` among the logs."""
    otlp_endpoint: str = "http://127.0.0.1:4317"
    """OpenTelemetry collector that `otlp` sends to, over gRPC. `https://` for TLS. The default is the port collectors use."""
    otlp_ca_file: Path | None = None
    """Certificates (PEM) of the authorities that vouch for an `https://` collector. Empty: public ones."""
    sample_ratio: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of traces that are recorded, 0 to 1. Decided where a trace begins, so that a trace is recorded whole or not at all.
    The default keeps all: a developer's machine makes few. At 100 completions a second, 0.01 still shows one a second."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe kind of message that is logged."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """`json` is one object a line. `auto`: text on a terminal, JSON elsewhere, because programs read what people do not."""
