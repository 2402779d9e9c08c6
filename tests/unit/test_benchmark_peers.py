"""The comparison with other tools: what counts as found, how times and rows are summed up, what a document keeps."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import everything
from benchmarks.peers import measure, plots, results, ripgrep, table, worker
from benchmarks.peers.corpus import Subject
from benchmarks.peers.probe import Probe
from benchmarks.peers.results import Measured, Row
from benchmarks.peers.tools import found

MACHINE = {"system": "Linux", "processor": "X", "cores": 2, "memory_gb": 24, "python": "3.11", "load": 0.1}
INDEXED = Row("go", (1.0, 0.5), (1.0, 1.0), 2.0, 90.0, 120.0, 4.0, (900.0,), (5.0, 7.0))
BARE = Row("c", (0.25,), (1.0,), None, None, 5.0, None, (20.0, 30.0), ())


def test_ripgrep_is_asked_for_the_words_that_matter_and_files_with_most_of_them_come_first() -> None:
    assert ripgrep.words("How is the session_key signed?") == ["session_key", "signed"]
    assert ripgrep.words("?!") == ["?!"]
    output = "./b.py\0Key\n./a.py\0key\n./a.py\0key\n./c.py\0key\n./c.py\0SIGNED\n"
    assert ripgrep.ranked(output) == [("c.py", 2), ("a.py", 1), ("b.py", 1)]


def test_probe_s_notes_around_its_answer_are_passed_over() -> None:
    output = 'Using BM25\n{"results": [{"file": "/x/a.go", "lines": [3, 9], "score": null}]}'
    assert Probe().results(output, "q") == [found("/x/a.go", 3, 9)]


def test_identifiers_are_found_whole_and_by_their_parts() -> None:
    assert worker.tokens("parseHTTPRequest(my_func)") == [
        "parsehttprequest",
        "parse",
        "http",
        "request",
        "my_func",
        "my",
        "func",
    ]


def test_an_answer_counts_at_the_first_result_of_its_file_and_lines() -> None:
    questions = (
        {"query": "a", "relevant": ["a.py"], "secondary": [{"path": "b.py", "start_line": 5, "end_line": 9}]},
        {"query": "b", "relevant": ["other.py"]},
    )
    subject = Subject("k", "n", "python", Path(), questions)
    ndcg, hit = measure.scores(subject, [[found("src/a.py", 1, 2), found("b.py", 9, 12)], []])
    assert (ndcg, hit) == ((1.0, 0.0), (1.0, 0.0))


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_half_and_nearly_all_of_the_times_are_no_longer_than_p50_and_p95(times: list[float]) -> None:
    told = results.percentiles(times)
    assert told and all(one in times for one in told)
    assert sum(time <= told[0] for time in times) >= len(times) / 2
    assert sum(time <= told[1] for time in times) >= 0.95 * len(times)


@given(st.lists(st.text(), unique=True), st.integers(0, 9))
def test_questions_asked_with_a_process_each_are_spread_evenly(asked: list[str], count: int) -> None:
    assert measure.spread(asked, count) == sorted(measure.spread(asked, count), key=asked.index)
    assert len(measure.spread(asked, count)) == min(count, len(asked))


def test_each_repository_weighs_the_same_and_a_tool_without_an_index_has_no_figures_for_it() -> None:
    both = results.summary([INDEXED, BARE])
    assert (both.ndcg, both.questions, both.index_seconds, both.query_memory) == (0.5, 3, 2.0, 120.0)
    bare = results.summary([BARE])
    assert (bare.index_seconds, bare.disk, bare.warm) == (None, None, None)


def test_measuring_one_tool_again_keeps_the_others_rows(tmp_path: Path) -> None:
    first = {"a": Measured("A 1", "2026-01-01", MACHINE, {"roots": {"k": INDEXED}})}
    results.write(tmp_path / "kept.json", first)
    again = results.read(tmp_path / "kept.json") | {"b": Measured("B 2", "2026-01-02", MACHINE, {"roots": {"k": BARE}})}
    results.write(tmp_path / "kept.json", again)
    assert results.read(tmp_path / "kept.json") == again


def test_the_document_gets_the_tables_and_keeps_the_rest(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", "utf-8")
    measured = {
        "rg": Measured("rg", "2026-01-01", MACHINE, {"roots": {"k": BARE}}),
        "nearcode": Measured("nearcode", "2026-01-01", MACHINE, {"roots": {"k": INDEXED}}),
    }
    table.write(readme, measured)
    table.write(readme, measured)
    lines = readme.read_text("utf-8").splitlines()
    assert (lines[0], lines[-1], "old" in lines) == ("before", "after", False)
    assert "| nearcode | **0.750** | 1.000 | 2.0 | 5.0, 7.0 | 900, 900 | 90 | 120 | 4.0 |" in lines
    assert "| rg | 0.250 | 1.000 | - | - | 20, 30 | - | 5.0 | - |" in lines
    with pytest.raises(ValueError, match="lacks"):
        table.replaced("no markers", "text")
    assert all(picture.stat().st_size > 1000 for picture in plots.draw(measured, tmp_path))


def test_make_bench_says_what_to_give_and_skips_what_it_has_no_data_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make bench BENCH=FOLDER CORPUS=FOLDER"):
        everything.given([])
    with pytest.raises(SystemExit, match="does not exist"):
        everything.given([f"BENCH={tmp_path}/none", f"CORPUS={tmp_path}"])
    told = everything.given([f"BENCH={tmp_path}", f"CORPUS={tmp_path}", "REPOEVAL=", f"OUT={tmp_path}"])
    steps = {step.name: step for step in everything.STEPS}
    assert everything.run(steps["completion"], told) == "skipped: give REPOEVAL=..."
    assert f"{tmp_path}/repos.json" in everything.filled(steps["peers"], told)
