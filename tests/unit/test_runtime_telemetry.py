"""Trace context survives being text; logs carry the trace, and never the code that a program had in its hands."""

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from nearcode.telemetry.propagation import (
    current_trace_id,
    current_traceparent,
    ensure_trace,
    link,
    links,
    use_traceparent,
)
from nearcode.telemetry.traces import SpanLine, read_spans, read_trace
from opentelemetry import trace

ids = st.builds(
    "00-{:032x}-{:016x}-{:02x}".format, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from([0, 1])
)

LOGGING = """
import logging, sys
from pathlib import Path
from nearcode.telemetry.log import get_logger
from nearcode.telemetry.logs import set_up_logs
from nearcode.telemetry.propagation import use_traceparent
from nearcode.telemetry.settings import TelemetrySettings
set_up_logs(TelemetrySettings(log_format=sys.argv[1], log_level="info"), Path(sys.argv[2]) if sys.argv[2] else None)
body = "def secret(): pass"
with use_traceparent("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"):
    get_logger("nearcode.x").info("hello", files=3)
    get_logger("nearcode.x").debug("too fine")
    logging.getLogger("some.library").warning("theirs %d", 4)
    try:
        1 / 0
    except ZeroDivisionError:
        get_logger("nearcode.x").exception("a bug")
        logging.getLogger("some.library").exception("their bug")
assert "opentelemetry.sdk" not in sys.modules
"""


@given(ids)
def test_a_trace_is_picked_up_where_it_was_put_down(traceparent: str) -> None:
    with use_traceparent(traceparent):
        assert current_traceparent() == traceparent
        assert current_trace_id() == traceparent.split("-")[1]
    assert current_traceparent() == current_trace_id() == ""


@given(st.one_of(st.text(), st.just("00-" + "0" * 32 + "-" + "0" * 16 + "-01")))
def test_nonsense_is_no_trace_and_no_error(text: str) -> None:
    with use_traceparent("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"), use_traceparent(text):
        assert current_traceparent() == ""
    assert link(text) is None


@given(st.lists(ids))
def test_each_trace_that_was_recorded_is_linked_once(traceparents: list[str]) -> None:
    found = [trace.format_trace_id(item.context.trace_id) for item in links([*traceparents, *traceparents, ""])]
    assert found == [text.split("-")[1] for text in dict.fromkeys(traceparents) if text.endswith("-01")]


def test_a_call_without_a_trace_gets_an_id_that_goes_on_to_what_it_calls() -> None:
    with ensure_trace() as made:
        assert len(made) == 32 and current_traceparent() == f"00-{made}-{current_traceparent().split('-')[2]}-01"
        with ensure_trace() as again:
            assert again == made
    assert current_traceparent() == ""


def log(kind: str, file: str = "") -> str:
    return subprocess.run([sys.executable, "-c", LOGGING, kind, file], check=True, capture_output=True, text=True).stderr


def test_logs_for_programs_are_objects_with_the_trace_and_no_variables() -> None:
    text = log("auto")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["hello", "theirs 4", "a bug", "their bug"]
    assert {line["trace_id"] for line in lines} == {"ab" * 16}
    assert (lines[0]["level"], lines[0]["files"], lines[0]["logger"]) == ("info", 3, "nearcode.x")
    assert "ZeroDivisionError" in lines[2]["exception"] and "ZeroDivisionError" in lines[3]["exception"]
    assert "def secret" not in text and "body" not in text


def test_logs_for_people_go_to_the_file_they_are_given_and_hold_no_variables(tmp_path: Path) -> None:
    assert log("text", str(tmp_path / "logs" / "x.log")) == ""
    text = (tmp_path / "logs" / "x.log").read_text()
    assert text.count("ZeroDivisionError") == 2 and "a bug" in text
    assert "def secret" not in text and "body" not in text


def test_a_log_that_cannot_be_written_says_nothing_on_the_terminal() -> None:
    assert log("text", "/dev/full") == ""


def test_a_trace_is_read_back_in_order_and_a_half_written_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    assert list(read_spans(path)) == []
    rows = [{"name": "b", "trace_id": "1", "span_id": "2", "start_ns": 5}, {"name": "a", "trace_id": "1", "span_id": "1"}]
    rows.append({"name": "other", "trace_id": "2", "span_id": "3"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"name": "c", "trace')
    assert read_trace(path, "1") == [SpanLine("a", "1", "1"), SpanLine("b", "1", "2", start_ns=5)]
