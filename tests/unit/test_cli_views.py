"""Progress, the waterfall and the demo's showcase."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.cli.progress import EVERY, LineProgress, progress, summary
from nearcode.cli.showcase import FLASK, cut_line, fetch
from nearcode.cli.waterfall import WIDTH, waterfall
from nearcode.domain.budget import StageReport
from nearcode.domain.errors import Unavailable
from nearcode.domain.repository import Progress, RepositoryState, RepositoryStatus

from tests.unit.cli_engine import STAGES

STATUS = RepositoryStatus("r1", "file:///x", "x", "", RepositoryState.INDEXING, progress=Progress(50, 200, 400))


def test_progress_says_files_chunks_rate_and_time_left() -> None:
    assert summary(STATUS, 2.0) == "50/200 files, 400 chunks, 200 chunks/s, 6 s left"


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.0, 1.0, EVERY, EVERY + 1])
    lines = LineProgress(lambda: next(times))
    for _ in range(3):
        lines.show(STATUS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("indexing 50/200 files")


def test_on_a_terminal_progress_is_a_bar_on_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress() as show:
        show(STATUS)
    assert capsys.readouterr().out == ""


def test_the_waterfall_has_a_line_a_stage_in_order_of_their_start() -> None:
    head, *rows = waterfall(list(reversed(STAGES)), 3000)
    assert "of 3000 ms" in head
    assert [row.split()[0] for row in rows] == ["resolve", "retrieve", "generate"]
    assert " 2400.0 ms   300.0 ms  2100.0 ms" in rows[2]
    assert waterfall([], 3000) == []


@given(
    st.lists(
        st.builds(
            StageReport,
            st.text("abc", min_size=1, max_size=9),
            *[st.floats(0, 1e5) for _ in range(4)],
            skipped=st.booleans(),
        ),
        min_size=1,
    )
)
def test_bars_stay_inside_their_frame(stages: list[StageReport]) -> None:
    for row in waterfall(stages, 1000)[1:]:
        assert len(row.split("|")[1]) == WIDTH


def test_the_demo_takes_the_end_of_a_line_away() -> None:
    cut = cut_line("a = 1\nvalue = sign(key)\nb = 2\n", "value = sign(", 1)
    assert cut
    assert (cut.line, cut.column, cut.before, cut.taken, cut.suffix) == (2, 14, "value = sign(", "key)", "\nb = 2\n")


def test_own_code_is_cut_in_the_first_call_of_the_best_hit() -> None:
    cut = cut_line("import os\n\ndef f():\n    return os.path.join(a, b)\n", "", 3)
    assert cut
    assert (cut.line, cut.taken) == (4, "a, b)")
    assert cut_line("nothing to cut\n", "", 1) is None


def test_a_demo_that_was_fetched_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "flask-3.1.3").mkdir()
    assert fetch(FLASK, tmp_path) == tmp_path / "flask-3.1.3"


def test_a_demo_without_pip_says_how_to_use_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearcode.cli.showcase._pip", lambda: [sys.executable, "-c", "raise SystemExit('no network')"])
    with pytest.raises(Unavailable, match=r"no network.*nearcode demo PATH"):
        fetch(FLASK, tmp_path)
