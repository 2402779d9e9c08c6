"""A real OTLP receiver, Elastic's mockotlpserver on node, that tells which spans it was sent.

Fetched once, in the versions and with the checksums of tests/otlp/package-lock.json, and kept outside the checkout.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearcode.runtime.child import leashed

from tests.servers import START_SECONDS, ComponentMissing, wait_until

SOURCE = Path(__file__).with_name("otlp")
PACKAGE = ("package.json", "package-lock.json")


@dataclass(frozen=True, slots=True)
class Span:
    """A span as the receiver got it. `links` are (trace id, span id); `seconds` from its start to its end."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    seconds: float
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class Receiver:
    """A running receiver. `url` is its OTLP/gRPC address, as `telemetry.otlp_endpoint` takes it."""

    output: Path

    @property
    def url(self) -> str:
        """Where spans are sent."""
        return str(json.loads(self._lines()[0])["grpc"])

    @property
    def ready(self) -> bool:
        """Whether it listens."""
        return bool(self._lines())

    def spans(self) -> list[Span]:
        """Every span that has arrived, in no order."""
        return [span for line in self._lines()[1:] for span in _spans(json.loads(line))]

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace that have arrived."""
        return [span for span in self.spans() if span.trace_id == trace_id]

    def _lines(self) -> list[str]:
        *whole, _ = self.output.read_text().split("\n")
        return whole


@contextmanager
def otlp_receiver(folder: Path) -> Iterator[Receiver]:
    """A receiver on free loopback ports; `folder` takes what it prints."""
    node, package = _program("node"), _package()
    folder.mkdir(parents=True, exist_ok=True)
    receiver = Receiver(folder / "received.jsonl")
    with receiver.output.open("wb") as output, (folder / "receiver.log").open("wb") as log:
        process = subprocess.Popen(leashed([node, str(SOURCE / "receive.js"), str(package)]), stdout=output, stderr=log)
    try:
        wait_until(lambda: receiver.ready or process.poll() is not None, START_SECONDS, lambda: "the receiver does not start")
        assert receiver.ready, f"the receiver ended with {process.poll()}:\n{(folder / 'receiver.log').read_text()[-3000:]}"
        yield receiver
    finally:
        process.terminate()
        process.wait(10)


def _spans(request: Mapping[str, Any]) -> Iterator[Span]:
    for resource in request["resourceSpans"]:
        service = str(resource["resource"]["attributes"]["service.name"])
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield _span(service, span)


def _span(service: str, span: Mapping[str, Any]) -> Span:
    return Span(
        name=span["name"],
        service=service,
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId") or "",
        kind=str(span["kind"]).removeprefix("SPAN_KIND_"),
        seconds=(int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9,
        attributes=span.get("attributes") or {},
        links=tuple((link["traceId"], link["spanId"]) for link in span.get("links") or ()),
        failed="ERROR" in str((span.get("status") or {}).get("code", "")),
    )


def _package() -> Path:
    """The folder that the receiver is installed in. Another lock file makes another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nearcode-tests")
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in PACKAGE)).hexdigest()
    folder = cache / f"otlp-receiver-{digest[:12]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    npm = _program("npm")
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        for name in PACKAGE:
            shutil.copy(SOURCE / name, made)
        # `ci` refuses a package whose checksum is not the lock file's; no package's own scripts run.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise ComponentMissing(f"`npm ci` in a copy of {SOURCE} failed; check the npm registry:\n{done.stderr}")
        try:
            Path(made).rename(folder)  # in one step, so that two runs at once do not clash
        except OSError:
            if not folder.exists():
                raise
        else:
            Path(made).mkdir()  # for its own end


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ComponentMissing(
            f"Tests need a real OTLP receiver, which runs on node. Install node and npm ({name} is missing)."
        )
    return str(Path(found).absolute())
