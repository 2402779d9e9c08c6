"""One trace through everything, as a real OTLP receiver sees it: one process per service, over a real NATS and Qdrant."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.shop import write_shop
from tests.engines import Engine, process_per_service
from tests.otlp_receiver import Receiver, Span, otlp_receiver
from tests.servers import wait_until

FLOW = ("RevisionWanted", "RevisionSynced", "ChunksCut", "BatchIndexed", "RevisionIndexed")
STAGES = {"resolve", "retrieve", "revisions", "embed", "search", "graph lane", "rank", "generate"}
MILLISECONDS = {f"nearcode.budget.{kind}_ms" for kind in ("allotted", "spent", "carried")}
ARRIVES_SECONDS = 20.0
"""Spans leave a process every 0.2 s; the rest is for busy machines."""


@dataclass(frozen=True, slots=True)
class Job:
    """An engine that has done the main job once: index, then complete."""

    engine: Engine
    receiver: Receiver


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    home = tmp_path_factory.mktemp("home")
    with otlp_receiver(home / "receiver") as receiver:
        settings = {
            "NEARCODE_TELEMETRY__SPANS": "otlp",
            "NEARCODE_TELEMETRY__OTLP_ENDPOINT": receiver.url,
            "NEARCODE_INGESTION__WATCH": "false",  # else the watcher may be faster than the command, with a trace of its own
        }
        with process_per_service(home, None, **settings) as engine:
            folder = write_shop(tmp_path_factory.mktemp("code"))
            engine.command("index", str(folder))
            engine.command("complete", f"{folder}/shop/cart.py:21:16", "--json", "--deadline", "20000")
            yield Job(engine, receiver)


@pytest.fixture(scope="module")
def indexing(job: Job) -> list[Span]:
    """The trace of the index job, whole."""
    return arrived(job.receiver, "RepositoriesService/Sync", has_all(*(f"process {event}" for event in FLOW)))


@pytest.fixture(scope="module")
def completion(job: Job) -> list[Span]:
    """The trace of the completion, whole."""
    told = has_all("generate", "send CompletionServed")
    asked = {"gateway", "ingestion", "retrieval", "generation"}  # each service sends its spans by itself
    return arrived(job.receiver, "AssistantService/Complete", lambda spans: told(spans) and services(spans) == asked)


def arrived(receiver: Receiver, root: str, complete: Callable[[list[Span]], bool]) -> list[Span]:
    """The trace that begins with `root`, once it is complete and no span of it waits for its parent."""
    found: list[Span] = []

    def whole() -> bool:
        spans = receiver.spans()
        ids = [span.trace_id for span in spans if not span.parent_id and span.name.endswith(root)]
        found[:] = [span for span in spans if span.trace_id in ids[-1:]]
        return complete(found) and not orphans(found)

    wait_until(whole, ARRIVES_SECONDS, lambda: f"not whole: {sorted(span.name for span in found)}; orphans {orphans(found)}")
    return list(found)


def has_all(*names: str) -> Callable[[list[Span]], bool]:
    return lambda spans: set(names) <= {span.name for span in spans}


def orphans(spans: list[Span]) -> list[Span]:
    known = {span.span_id for span in spans} | {""}
    return [span for span in spans if span.parent_id not in known]


def named(spans: list[Span], end: str) -> list[Span]:
    return [span for span in spans if span.name.endswith(end)]


def above(spans: list[Span], span: Span) -> list[str]:
    """The names from a span's parent up to the root."""
    by_id = {each.span_id: each for each in spans}
    names = []
    while span.parent_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


def services(spans: list[Span]) -> set[str]:
    return {span.service.removeprefix("nearcode-") for span in spans}


def test_an_index_job_is_one_trace_through_every_service_that_works_on_it(indexing: list[Span]) -> None:
    (root,) = [span for span in indexing if not span.parent_id]
    assert (root.service, root.kind) == ("nearcode-gateway", "SERVER")
    assert services(indexing) == {"gateway", "ingestion", "chunking", "embedding", "retrieval"}
    assert not any(span.failed for span in indexing)


def test_each_event_is_handled_below_its_sending_which_is_below_what_caused_it(indexing: list[Span]) -> None:
    (last,) = named(indexing, "process RevisionIndexed")
    chain = [name for name in above(indexing, last) if " " in name]
    steps = [f"{step} {event}" for event in reversed(FLOW) for step in ("process", "send")]
    assert chain == steps[1:]
    for event in FLOW:
        sent, handled = named(indexing, f"send {event}")[0], named(indexing, f"process {event}")[0]
        assert (sent.kind, handled.kind) == ("PRODUCER", "CONSUMER")
        assert sent.attributes["messaging.system"] == handled.attributes["messaging.system"] == "nats"
        assert sent.attributes["messaging.destination.name"] == handled.attributes["messaging.destination.name"]


def test_an_index_job_shows_who_read_bytes_and_what_the_models_and_the_index_did(indexing: list[Span]) -> None:
    reads = [span for span in named(indexing, "IngestionService/ReadBlobs") if span.kind == "CLIENT"]
    assert services(reads) == {"chunking", "embedding"}
    for read in reads:
        (answered,) = [span for span in indexing if span.parent_id == read.span_id]
        assert (answered.name, answered.service, answered.kind) == (read.name, "nearcode-ingestion", "SERVER")
    (parsed,) = named(indexing, "parse")
    assert "process RevisionSynced" in above(indexing, parsed)
    writes = [span for span in indexing if span.attributes.get("db.operation.name") == "Upsert"]
    embedded = [span for span in indexing if span.name.startswith("embed ")]
    for work in (writes, embedded):
        assert work
        assert all("process ChunksCut" in above(indexing, span) for span in work)
    assert {span.attributes["db.system.name"] for span in writes} == {"qdrant"}


def test_a_completion_is_one_trace_through_every_service_it_asks(completion: list[Span]) -> None:
    (root,) = [span for span in completion if not span.parent_id]
    assert (root.service, root.kind) == ("nearcode-gateway", "SERVER")
    assert services(completion) == {"gateway", "ingestion", "retrieval", "generation"}
    (model,) = [span for span in completion if span.attributes.get("gen_ai.operation.name") == "text_completion"]
    assert model.service == "nearcode-generation"
    assert {"generate", "complete"} <= set(above(completion, model))
    asked = [span for span in completion if span.attributes.get("db.system.name") == "qdrant"]
    assert asked
    assert all("retrieve" in above(completion, span) for span in asked)


def test_every_stage_of_a_completion_says_what_it_was_allotted_spent_and_carried(completion: list[Span]) -> None:
    stages = {span.name: span for span in completion if "nearcode.budget.allotted_ms" in span.attributes}
    assert set(stages) == STAGES
    for span in stages.values():
        assert set(span.attributes) >= MILLISECONDS
        assert float(span.attributes["nearcode.budget.spent_ms"]) <= span.seconds * 1e3 + 1


def test_a_completion_links_to_the_traces_that_indexed_what_it_cites(completion: list[Span], indexing: list[Span]) -> None:
    links = {link for span in named(completion, "retrieve") for link in span.links}
    indexed = {(span.trace_id, span.span_id): span for span in indexing}
    assert links
    assert links <= set(indexed)
    assert {indexed[link].name for link in links} == {"process ChunksCut"}
