"""Spans say what happened in the words of the conventions, and never quote."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.domain.budget import Budget, StageReport
from nearcode.domain.errors import Unavailable
from nearcode.domain.index import FileTexts, ModelProfile
from nearcode.embedding.measured import MeasuredEmbedder, MeasuredVectors
from nearcode.telemetry import conventions
from nearcode.telemetry.propagation import use_traceparent
from nearcode.telemetry.settings import TelemetrySettings
from nearcode.telemetry.setup import _provider
from nearcode.telemetry.spans import detached, inner, spanned, staged
from nearcode.telemetry.traces import read_spans
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import (
    db_attributes,
    gen_ai_attributes,
    messaging_attributes,
    rpc_attributes,
)
from opentelemetry.semconv.attributes import error_attributes, server_attributes

SECRET = "def secret(): pass"


class Recorded:
    """A tracer and what it has recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_names_are_those_of_the_conventions() -> None:
    modules = (db_attributes, gen_ai_attributes, messaging_attributes, rpc_attributes, error_attributes, server_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    ours = {
        *conventions.rpc("a.B/C", "127.0.0.1:80"),
        *conventions.database("Upsert", "code", 2),
        *conventions.message("send", "ChunksCut", "work.small.cut.o.r", "id", 3),
        *conventions.model("chat", "toy"),
        *(value for name, value in vars(conventions).items() if name.isupper() and isinstance(value, str)),
    }
    assert {name for name in ours if not name.startswith("nearcode.")} <= known


@given(st.text())
def test_any_address_makes_attributes(address: str) -> None:
    assert conventions.rpc("a.B/C", address)["rpc.method"] == "a.B/C"


def test_an_address_is_told_in_its_parts() -> None:
    assert conventions.rpc("m", "[::1]:7010")["server.address"] == "::1"
    assert conventions.rpc("m", "127.0.0.1:7010")["server.port"] == 7010
    assert conventions.rpc("m", "unix:/run/x")["server.address"] == "/run/x"


def test_a_failure_leaves_its_kind_and_not_its_text(recorded: Recorded) -> None:
    for error in (ValueError(SECRET), Unavailable(SECRET)):
        with pytest.raises(type(error)), spanned(recorded.tracer, "work"):
            raise error
    kinds = [(span.attributes or {}).get("error.type") for span in recorded.spans()]
    assert kinds == ["ValueError", "SERVICE_UNAVAILABLE"]
    assert SECRET not in "".join(span.to_json() for span in recorded.spans())


def test_a_stage_that_fails_still_says_what_it_spent(recorded: Recorded) -> None:
    told: list[StageReport] = []
    budget = Budget(1.0, {"embed": 1.0})
    with pytest.raises(Unavailable), staged(recorded.tracer, budget, "embed", told.append):
        raise Unavailable("away")
    (span,) = recorded.spans()
    assert set(span.attributes or {}) >= {
        "nearcode.budget.allotted_ms",
        "nearcode.budget.spent_ms",
        "nearcode.budget.carried_ms",
    }
    assert [report.name for report in told] == ["embed"]


def test_upkeep_without_a_trace_begins_none(recorded: Recorded) -> None:
    with inner(recorded.tracer, "flush", {}):
        pass
    assert recorded.spans() == []
    with spanned(recorded.tracer, "index"), inner(recorded.tracer, "Upsert code", {}):
        pass
    assert [span.name for span in recorded.spans()] == ["Upsert code", "index"]


async def test_a_stream_that_another_task_ends_leaves_the_running_span_as_it_was(recorded: Recorded) -> None:
    async def stream() -> AsyncGenerator[int, None]:
        with detached(recorded.tracer, "stream", {}):
            yield 1
            yield 2

    numbers = stream()
    with spanned(recorded.tracer, "outer") as outer:
        assert await anext(numbers) == 1
        assert trace.get_current_span() is outer
        await asyncio.create_task(numbers.aclose())
    assert [span.name for span in recorded.spans()] == ["stream", "outer"]


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_share_of_traces_is_between_none_and_all(ratio: float) -> None:
    with pytest.raises(ValueError):
        TelemetrySettings(sample_ratio=ratio)


@pytest.mark.parametrize(("flag", "names"), [("01", ["asked"]), ("00", [])])
def test_a_service_records_what_the_service_where_a_trace_began_decided(flag: str, names: list[str], tmp_path: Path) -> None:
    for ratio in (0.0, 1.0):
        file = tmp_path / f"{ratio}.jsonl"
        provider = _provider(TelemetrySettings(spans="file", sample_ratio=ratio), "test", file)
        with use_traceparent(f"00-{'ab' * 16}-{'cd' * 8}-{flag}"), provider.get_tracer("test").start_as_current_span("asked"):
            pass
        with use_traceparent(""), provider.get_tracer("test").start_as_current_span("began here"):
            pass
        provider.shutdown()
        assert [span.name for span in read_spans(file)] == names + ["began here"] * round(ratio)


class Model:
    profile = ModelProfile("toy", 2)

    async def embed_files(self, files: Sequence[FileTexts]) -> list[NDArray[np.float32]]:
        return [np.zeros((len(file.texts), 2), np.float32) for file in files]

    async def embed_query(self, text: str, weights: Mapping[int, float]) -> NDArray[np.float32]:
        return np.zeros(2, np.float32)


async def test_a_call_to_a_model_counts_its_chunks_and_an_empty_one_does_not() -> None:
    batches: list[tuple[str, int]] = []
    embedder = MeasuredEmbedder(Model(), lambda profile, chunks, seconds: batches.append((profile, chunks)))
    await embedder.embed_files([FileTexts("a", ("x", "y")), FileTexts("b", ("z",))])
    await embedder.embed_files([])
    assert batches == [("toy", 3)]


async def test_a_look_into_the_cache_counts_what_was_there() -> None:
    class Store:
        async def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
            return {key: b"" for key in keys if key == b"known"}

        async def put(self, entries: Mapping[bytes, bytes]) -> None:
            raise AssertionError

    looks: list[tuple[int, int]] = []
    await MeasuredVectors(Store(), lambda hits, misses: looks.append((hits, misses))).get([b"known", b"new", b"new"])
    assert looks == [(1, 1)]
