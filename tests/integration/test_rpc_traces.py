"""One question is one trace, through as many processes as it takes."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from nearcode.telemetry.propagation import use_traceparent
from nearcode.telemetry.traces import SpanLine, read_spans, read_trace

from tests.integration.rpc_world import RETRIEVAL, world

TRACE = "0af7651916cd43dd8448eb211c80319c"

SERVER = """
import asyncio, sys
from pathlib import Path
from nearcode.telemetry.settings import TelemetrySettings
from nearcode.telemetry.setup import setup
from tests.integration.rpc_world import world
telemetry = setup(TelemetrySettings(spans="file"), "retrieval", Path(sys.argv[1]))
async def main():
    async with world() as here:
        print(here.server.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
telemetry.shutdown()
"""

CLIENT = """
import asyncio, sys
from pathlib import Path
from opentelemetry import trace
from nearcode.api.retrieval.v1 import retrieval_pb2
from nearcode.domain.errors import Unavailable
from nearcode.runtime.channel import Client, connect
from nearcode.telemetry.propagation import links
from nearcode.telemetry.settings import TelemetrySettings
from nearcode.telemetry.setup import setup
from tests.integration.rpc_world import RETRIEVAL
telemetry = setup(TelemetrySettings(spans="file"), "gateway", Path(sys.argv[1]))
async def main():
    channel = connect(sys.argv[2], "ada")
    client = Client(channel, RETRIEVAL)
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("complete", links=links(["00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"])):
        with tracer.start_as_current_span("retrieve", attributes={"nearcode.budget.allotted_ms": 12.5}):
            await client.unary("Retrieve", retrieval_pb2.RetrieveRequest(), seconds=10.0)
            try:
                await client.unary("Explain", retrieval_pb2.ExplainRequest(), seconds=10.0)
            except Unavailable:
                pass
    await channel.close()
asyncio.run(main())
telemetry.shutdown()
"""


async def test_a_call_without_telemetry_hands_its_trace_on() -> None:
    async with world() as here:
        with use_traceparent(f"00-{TRACE}-b7ad6b7169203331-01"):
            answer = await here.ask()
        assert answer.plan.split("-")[1] == here.finder.calls[0].trace_id == TRACE
        await here.ask()
        assert here.finder.calls[1].trace_id not in ("", TRACE)


def test_a_trace_crosses_processes_and_is_read_from_one_file(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert server.stdin and server.stdout
    address = server.stdout.readline().strip()
    client = [sys.executable, "-c", CLIENT, str(tmp_path), address]
    subprocess.run(client, check=True, env=environment, timeout=60)
    server.stdin.close()
    assert server.wait(30) == 0
    _check(tmp_path / "spans.jsonl")


def _check(path: Path) -> None:
    (first, *_) = read_spans(path)
    complete, retrieve, asked, answered, asked_again, failed = read_trace(path, first.trace_id)
    assert (complete.name, retrieve.name) == ("complete", "retrieve")
    assert (answered.name, failed.name) == (f"{RETRIEVAL.full_name}/Retrieve", f"{RETRIEVAL.full_name}/Explain")
    assert (complete.parent_id, retrieve.parent_id) == ("", complete.span_id)
    assert asked.parent_id == asked_again.parent_id == retrieve.span_id
    assert (answered.parent_id, failed.parent_id) == (asked.span_id, asked_again.span_id)
    assert (asked.kind, asked.name, asked.service) == ("CLIENT", answered.name, "gateway")
    assert asked.attributes["server.address"] == "127.0.0.1"
    assert (complete.service, answered.service, answered.kind) == ("gateway", "retrieval", "SERVER")
    assert complete.links == ["ab" * 16 + "-" + "cd" * 8]
    assert retrieve.attributes == {"nearcode.budget.allotted_ms": 12.5}
    assert answered.attributes["rpc.response.status_code"] == "OK" and answered.status == "UNSET"
    assert (failed.attributes["error.type"], failed.status) == ("INTERNAL", "ERROR")
    assert (asked_again.attributes["error.type"], asked_again.status) == ("SERVICE_UNAVAILABLE", "ERROR")
    _check_times([complete, retrieve, asked, answered])


def _check_times(nested: list[SpanLine]) -> None:
    for outer, inner in pairwise(nested):
        assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
