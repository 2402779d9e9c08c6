"""Sets up the traces and logs of a process, once, before anything else runs."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from opentelemetry import trace

from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.telemetry.logs import set_up_logs
from nearcode.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    import grpc
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_MILLIS = 200
"""How long a span waits for company: short, because `nearcode complete --trace` waits for it."""
QUEUED_SPANS = 8192
"""Spans that wait for a slow collector, some 16 MB; later ones are dropped, with a warning. Indexing makes about 20 for a batch
of files: this is half a minute of it."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What must be ended with the process. `spans_file` is where spans go, if they go to a file."""

    spans_file: Path | None
    flush: Callable[[], object]
    _close: Callable[[], None]

    def shutdown(self) -> None:
        """Writes what is held back, waiting two seconds at most for a collector."""
        self._close()


def setup(settings: TelemetrySettings, service: str, folder: Path, log_file: Path | None = None) -> Telemetry:
    """Sets up telemetry for the process `service`. `folder` takes files without a path of their own. Logs go to `log_file`,
    or to stderr. The SDK is loaded only when spans go somewhere."""
    log = set_up_logs(settings, log_file)
    if settings.spans == "off":
        return Telemetry(None, lambda: None, lambda: _end(None, log))
    file = Path(settings.spans_file).expanduser() if settings.spans_file else folder / "spans.jsonl"
    provider = _provider(settings, service, file)
    trace.set_tracer_provider(provider)
    return Telemetry(file if settings.spans == "file" else None, provider.force_flush, lambda: _end(provider, log))


def _provider(settings: TelemetrySettings, service: str, file: Path) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    resource = Resource.create(
        {"service.name": service, "service.version": version("nearcode"), "service.instance.id": f"{service}-{os.getpid()}"}
    )
    sampler = ParentBasedTraceIdRatio(settings.sample_ratio)
    provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    exporter = _exporter(settings, file)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUED_SPANS, schedule_delay_millis=EXPORT_MILLIS))
    return provider


def _exporter(settings: TelemetrySettings, file: Path) -> "SpanExporter":
    if settings.spans == "file":
        from nearcode.telemetry.spans_file import FileSpanExporter

        return FileSpanExporter(file)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=2, credentials=_collector_credentials(settings))


def _collector_credentials(settings: TelemetrySettings) -> "grpc.ChannelCredentials | None":
    """Whom to trust at `https://`. Raises InvalidRequest (CERTIFICATE)."""
    if not settings.otlp_ca_file or not settings.otlp_endpoint.startswith("https://"):
        return None
    import grpc

    try:
        return grpc.ssl_channel_credentials(settings.otlp_ca_file.read_bytes())
    except OSError as error:
        message = f"telemetry.otlp_ca_file {settings.otlp_ca_file} cannot be read: {error.strerror}. Correct the path"
        raise InvalidRequest(message, Reason.CERTIFICATE, "telemetry.otlp_ca_file") from error


def _end(provider: "TracerProvider | None", log: TextIO | None) -> None:
    if provider:
        provider.shutdown()
    if log:
        logging.getLogger().handlers.clear()  # what is logged from here on goes to stderr
        with suppress(OSError):  # its last line may have found no room
            log.close()
