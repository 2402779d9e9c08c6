"""The main job, as a person does it at a terminal: index, search, complete, ask. In one process and in one per service."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.shop import write_shop
from tests.engines import Engine
from tests.servers import wait_until


def test_indexing_prints_what_was_indexed_and_the_digest(engine: Engine, tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "code")
    *_, result = engine.json("index", str(folder), "--json")
    assert set(result) == {"repository", "revision", "files", "chunks", "seconds", "digest"}
    assert result["files"] == 4
    assert result["chunks"] >= 6
    assert result["digest"].keys() == {"completion"}


def test_indexing_again_changes_nothing_and_a_change_and_back_ends_where_it_began(engine: Engine, tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "code")
    file = folder / "shop" / "cart.py"
    before = file.read_text()
    first = engine.json("index", str(folder), "--json")[-1]
    again = engine.json("index", str(folder), "--json")[-1]
    assert (again["digest"], again["revision"]) == (first["digest"], first["revision"])
    file.write_text(before + "\n\ndef discount(percent: int) -> int:\n    return percent\n")
    changed = engine.json("index", str(folder), "--json")[-1]
    assert changed["digest"] != first["digest"]
    assert engine.json("search", "discount percent", "--repo", str(folder), "--json")[0]["results"][0]["path"] == "shop/cart.py"
    file.write_text(before)
    back = engine.json("index", str(folder), "--json")[-1]
    assert back["digest"] == first["digest"]


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("how is value added tax computed", "shop/prices.py"),
        ("put an article into the shopping cart", "shop/cart.py"),
        ("retry a failing call with backoff", "server/main.go"),
        ("submitCheckout", "web/checkout.ts"),
    ],
)
def test_a_question_finds_the_code_that_answers_it(engine: Engine, shop: Path, question: str, path: str) -> None:
    (answer,) = engine.json("search", question, "--repo", str(shop), "--json")
    best = answer["results"][0]
    assert best["path"] == path
    assert set(best) == {"path", "start_line", "end_line", "score", "reasons", "text", "probability"}
    assert sum(best["reasons"].values()) == pytest.approx(best["score"])
    lines = (shop / path).read_text().splitlines()
    assert best["text"].splitlines()[0].strip() in [line.strip() for line in lines]


def test_many_questions_at_once_are_answered_in_their_order(engine: Engine, shop: Path) -> None:
    answers = engine.json("search", "--repo", str(shop), "--json", "--queries", "-", stdin="tax\ncheckout form\nbackoff\n")
    assert [answer["query"] for answer in answers] == ["tax", "checkout form", "backoff"]
    assert all(answer["took_ms"] > 0 for answer in answers)


def test_limits_are_kept(engine: Engine, shop: Path) -> None:
    (few,) = engine.json("search", "price", "--repo", str(shop), "--json", "--limit", "2")
    assert len(few["results"]) == 2
    (none,) = engine.json("search", "price", "--repo", str(shop), "--json", "--min-score", "100")
    assert none["results"] == []


def test_context_is_what_a_completion_would_get_and_never_the_edited_file(engine: Engine, shop: Path) -> None:
    prefix = "from shop.prices import Price\n\ntotal = add_"
    request = {"path": "shop/cart.py", "prefix": prefix, "suffix": "", "limit": 5, "tokens": 120}
    (answer,) = engine.json("context", "--repo", str(shop), "--json", "--requests", "-", stdin=json.dumps(request) + "\n")
    assert answer["results"][0]["path"] == "shop/prices.py"
    assert all(result["path"] != "shop/cart.py" for result in answer["results"])
    assert sum(len(result["text"]) for result in answer["results"]) / 3 < 300


def test_a_completion_cites_its_sources_and_accounts_for_its_time(engine: Engine, shop: Path) -> None:
    lines = (shop / "shop" / "cart.py").read_text().splitlines()
    at = next(number for number, line in enumerate(lines, 1) if "add_tax(Price(net))" in line)
    place = f"{shop}/shop/cart.py:{at}:16"
    (answer,) = engine.json("complete", place, "--json", "--deadline", "8000")
    assert set(answer) >= {"completion", "plan", "model", "sources", "budget"}
    assert "shop/prices.py" in {source["path"] for source in answer["sources"]}
    assert answer["plan"] == "hybrid"
    assert answer["completion"].strip()
    assert {stage["stage"] for stage in answer["budget"]} >= {"resolve", "retrieve", "search", "generate"}
    assert sum(stage["spent_ms"] for stage in answer["budget"] if stage["stage"] in ("resolve", "retrieve", "generate")) < 8000


def test_the_waterfall_shows_every_stage(engine: Engine, shop: Path) -> None:
    result = engine.command("complete", f"{shop}/shop/prices.py:17:5", "--trace", "--deadline", "8000")
    for stage in ("resolve", "retrieve", "generate"):
        assert stage in result.stdout + result.stderr


def test_a_question_is_answered_with_the_cited_code_when_the_model_is_small(engine: Engine, shop: Path) -> None:
    (answer,) = engine.json("ask", "how is tax added to a price?", "--repo", str(shop), "--json")
    assert set(answer) >= {"answer", "citations", "plan", "model"}
    assert "shop/prices.py" in {citation["path"] for citation in answer["citations"]}
    assert "add_tax" in answer["answer"]
    assert "too small" in answer["answer"] or "small" in answer["answer"]


def test_explain_tells_what_each_result_gained_and_why_the_others_lost(engine: Engine, shop: Path) -> None:
    result = engine.command("explain", "add tax to a price", "--repo", str(shop))
    assert "shop/prices.py" in result.stdout


def test_every_file_has_a_state_and_a_reason(engine: Engine, shop: Path) -> None:
    result = engine.command("files", str(shop))
    assert "README.md" in result.stdout
    assert "kind is not indexed: .md" in result.stdout


def test_status_lists_the_repository(engine: Engine, shop: Path) -> None:
    states = {one["repository"]: one for one in engine.json("status", "--json")}
    assert states[str(shop)]["state"] == "ready"


def test_a_folder_that_is_not_indexed_says_how_to_index_it(engine: Engine, tmp_path: Path) -> None:
    result = engine.command("search", "anything", "--repo", str(tmp_path), check=False)
    assert result.returncode == 3
    assert "nearcode index" in result.stderr


def test_one_completion_is_one_trace_that_links_to_the_traces_that_indexed_its_sources(engine: Engine, shop: Path) -> None:
    engine.command("complete", f"{shop}/shop/cart.py:21:16", "--json", "--deadline", "8000")

    services = {"nearcode"}
    if len(engine.processes) > 1:  # the trace goes through the services
        services = {"nearcode-gateway", "nearcode-retrieval", "nearcode-generation"}

    def members() -> list[dict[str, Any]]:
        spans = engine.spans()
        trace = [span["trace_id"] for span in spans if span["name"] == "complete"][-1:]
        return [span for span in spans if span["trace_id"] in trace]

    def whole() -> bool:  # each process writes its spans in batches
        return services <= {span["service"] for span in members()}

    wait_until(whole, 10, lambda: f"spans are missing: {members()}")
    spans = engine.spans()
    retrieve = next(span for span in members() if span["name"] == "retrieve")
    assert retrieve["attributes"]["nearcode.budget.allotted_ms"] > 0
    linked = {link.split("-")[0] for link in retrieve["links"]}
    indexing = {span["trace_id"] for span in spans if span["name"] == "process ChunksCut"}
    assert linked
    assert linked <= indexing


def test_a_saved_file_is_found_without_asking_for_it(engine: Engine, tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "code")
    engine.command("index", str(folder))
    (folder / "shop" / "voucher.py").write_text('def redeem_voucher(code: str) -> bool:\n    """Redeems a voucher once."""\n')

    def found() -> bool:
        (answer,) = engine.json("search", "redeem a voucher", "--repo", str(folder), "--json", "--limit", "1")
        return [result["path"] for result in answer["results"]] == ["shop/voucher.py"]

    wait_until(found, 20, lambda: "the saved file was not found")
