"""What a person at a terminal, and a tool that reads JSON, get from each command."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from nearcode.cli import failures
from nearcode.cli.program import Program
from nearcode.domain import errors
from nearcode.domain.errors import NearcodeError, Reason
from nearcode.domain.repository import FileState, FileStatus, RepositoryState

from tests.unit.cli_engine import FakeCheck, FakeLetter, FakeProgram, Terminal, snippet

SEARCH_RESULT = {
    "path": "src/login.py",
    "start_line": 3,
    "end_line": 4,
    "score": 0.75,
    "reasons": {"dense": 0.5, "lexical": 0.25},
    "text": "def login():\n    return token\n",
    "probability": 0.875,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "login.py").write_text("import os\n\ndef login():\n    \n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(FakeProgram(folder=tmp_path), capsys, monkeypatch)


@pytest.fixture
def indexed(terminal: Terminal, project: Path) -> Terminal:
    terminal.program.repositories.add(project)
    return terminal


def test_index_ends_with_one_json_object(terminal: Terminal, project: Path) -> None:
    code, out, _err = terminal.run("index", str(project), "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == {
        "repository": str(project), "revision": "rev2", "files": 2, "chunks": 5, "seconds": 1.5, "digest": {"completion": "d1"},
    }  # fmt: skip
    assert list(json.loads(out)) == ["repository", "revision", "files", "chunks", "seconds", "digest"]
    assert terminal.program.closed


def test_index_says_what_is_searchable_now(terminal: Terminal, project: Path) -> None:
    code, out, err = terminal.run("index", ".")
    assert (code, out, err) == (0, f"{project}: 2 files, 5 chunks in 1.5 s\n", "")


def test_a_failed_index_exits_with_1_and_its_reason(terminal: Terminal, project: Path) -> None:
    terminal.program.repositories.failing = "no space left"
    code, out, err = terminal.run("index", ".", "--json")
    assert (code, out) == (1, "")
    assert "no space left" in err


@pytest.mark.parametrize("path", ["nowhere", "src/login.py"])
def test_only_folders_are_indexed(terminal: Terminal, project: Path, path: str) -> None:
    code, out, err = terminal.run("index", path)
    assert (code, out) == (2, "")
    assert path in err


def test_status_prints_the_same_per_repository_with_its_state(indexed: Terminal, project: Path) -> None:
    code, out, _ = indexed.run("status", "--json")
    assert code == 0
    assert json.loads(out) == {
        "repository": str(project), "revision": "rev1", "files": 2, "chunks": 5, "seconds": 1.5, "digest": {"completion": "d1"},
        "state": "ready",
    }  # fmt: skip


def test_status_tells_how_much_is_indexed_anew_after_an_upgrade(terminal: Terminal, project: Path) -> None:
    known = terminal.program.repositories
    status = known.add(project, RepositoryState.INDEXING)
    known.statuses[status.id] = replace(status, wanted=status.revision)
    _, out, _ = terminal.run("status")
    assert out == f"{project}: indexing, 2 files, 5 chunks, revision rev1, 1/2 files indexed anew\n"


def test_status_of_nothing_says_how_to_begin(terminal: Terminal) -> None:
    code, out, err = terminal.run("status")
    assert (code, out) == (0, "")
    assert "nearcode index PATH" in err


def test_search_prints_its_contract(indexed: Terminal, project: Path) -> None:
    code, out, err = indexed.run("search", "login", "--repo", str(project), "--json", "--limit", "3", "--min-score", "0.2")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert list(answer) == ["query", "results", "took_ms", "useful", "probability"]
    assert answer["query"] == "login"
    assert answer["results"] == [SEARCH_RESULT]
    assert answer["took_ms"] > 0
    assert indexed.program.assistant.asked == [("login", 3, 0.2)]


def test_search_results_are_clickable(indexed: Terminal) -> None:
    code, out, err = indexed.run("search", "login")
    assert code == 0
    assert out.startswith("src/login.py:3 login (0.750)\n    def login():\n")
    assert "1 results for 'login'" in err


def test_a_result_outside_the_working_directory_has_an_absolute_path(
    indexed: Terminal, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _, out, _ = indexed.run("search", "login", "--repo", str(project))
    assert out.startswith(f"{project}/src/login.py:3 ")


def test_queries_come_from_stdin_one_a_line(indexed: Terminal) -> None:
    code, out, _ = indexed.run("search", "--queries", "-", "--json", stdin="first\n\nsécond \r\nlast")
    assert code == 0
    assert [json.loads(line)["query"] for line in out.splitlines()] == ["first", "sécond ", "last"]


def test_queries_come_from_a_file(indexed: Terminal, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_bytes(b"first\nbad \xff byte\n")
    code, out, _ = indexed.run("search", "--queries", str(tmp_path / "queries.txt"), "--json")
    assert code == 0
    assert [json.loads(line)["query"] for line in out.splitlines()] == ["first", "bad \ufffd byte"]


def test_one_wrong_query_does_not_stop_the_others(indexed: Terminal) -> None:
    code, out, err = indexed.run("search", "--queries", "-", "--json", stdin="first\nwrong\nlast\n")
    assert code == 2
    assert [json.loads(line)["query"] for line in out.splitlines()] == ["first", "last"]
    assert err.startswith("error: line 2: the question is wrong\n")


@pytest.mark.parametrize("arguments", [(), ("x", "--queries", "-")])
def test_search_wants_a_query_or_a_file_of_them(indexed: Terminal, arguments: tuple[str, ...]) -> None:
    code, out, err = indexed.run("search", *arguments)
    assert (code, out) == (2, "")
    assert "either QUERY or --queries" in err


def test_a_path_inside_narrows_to_the_innermost_repository(indexed: Terminal, project: Path) -> None:
    indexed.program.repositories.add(project.parent)
    indexed.run("search", "login", "--repo", "src")
    (workspace,) = indexed.program.assistant.workspaces
    assert (workspace.remotes, workspace.relative_path) == ((project.as_uri(),), "src")


def test_a_path_that_is_not_indexed_says_what_to_run(terminal: Terminal, project: Path) -> None:
    (project / ".git").mkdir()
    code, out, err = terminal.run("search", "x", "--repo", "src")
    assert (code, out) == (3, "")
    assert f"run `nearcode index {project}`" in err


def test_a_repository_without_a_first_revision_says_what_to_run(terminal: Terminal, project: Path) -> None:
    terminal.program.repositories.add(project, RepositoryState.INDEXING, revision="")
    code, _, err = terminal.run("search", "x")
    assert code == 3
    assert "cannot be searched yet" in err


def test_context_answers_line_by_line(indexed: Terminal) -> None:
    request = {"path": "src/login.py", "prefix": "def ", "suffix": "\n", "limit": 4, "tokens": 500}
    code, out, err = indexed.run("context", "--requests", "-", "--json", stdin=json.dumps(request) + "\n")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert (answer["path"], answer["results"]) == ("src/login.py", [SEARCH_RESULT])
    ((cursor, limit, tokens),) = indexed.program.assistant.asked
    assert (cursor.path, cursor.prefix, cursor.suffix, limit, tokens) == ("src/login.py", "def ", "\n", 4, 500)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "a request is a JSON object"),
        ('{"prefix": ""}', "`path` must be text"),
        ('{"path": "a", "prefix": "", "limit": -1}', "`limit` must be a whole number"),
        ('{"path": "a", "prefix": "", "tokens": true}', "`tokens` must be a whole number"),
    ],
)
def test_a_wrong_context_request_is_named_and_the_others_go_on(indexed: Terminal, line: str, complaint: str) -> None:
    code, out, err = indexed.run("context", "--requests", "-", "--json", stdin=f'{line}\n{{"path": "b", "prefix": ""}}\n')
    assert code == 2
    assert f"line 1: {complaint}" in err
    assert json.loads(out)["path"] == "b"


def test_complete_prints_its_contract(indexed: Terminal) -> None:
    code, out, err = indexed.run("complete", "src/login.py:4:5", "--json", "--deadline", "500")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "completion": "return token",
        "plan": "hybrid",
        "model": "tiny",
        "sources": [SEARCH_RESULT],
        "budget": [
            {"stage": "resolve", "allotted_ms": 50.0, "spent_ms": 1.25},
            {"stage": "retrieve", "allotted_ms": 500.0, "spent_ms": 12.5},
            {"stage": "generate", "allotted_ms": 2400.0, "spent_ms": 300.0},
        ],
    }
    (cursor,) = indexed.program.assistant.asked
    assert (cursor.path, cursor.prefix, cursor.suffix) == ("src/login.py", "import os\n\ndef login():\n    ", "\n")
    assert indexed.program.assistant.seconds == 0.5


def test_complete_prints_code_only_and_the_rest_on_stderr(indexed: Terminal) -> None:
    code, out, err = indexed.run("complete", "src/login.py:4:5", "--trace")
    assert (code, out) == (0, "return token\n")
    assert "from src/login.py:3" in err
    assert "plan hybrid, model tiny, a small one; name a better one" in err
    assert [line.split()[0] for line in err.splitlines() if "ms  |" in line] == ["resolve", "retrieve", "generate"]
    assert "trace ab12" in err


def test_complete_in_a_file_that_is_not_there(indexed: Terminal) -> None:
    code, _, err = indexed.run("complete", "src/gone.py:1:1")
    assert code == 3
    assert "no such file: src/gone.py" in err


def test_ask_prints_its_contract(indexed: Terminal) -> None:
    code, out, err = indexed.run("ask", "how does login work", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "answer": "return token",
        "citations": [{"path": "src/login.py", "start_line": 3, "end_line": 4}],
        "plan": "hybrid",
        "model": "tiny",
    }


def test_ask_cites_what_it_read(indexed: Terminal) -> None:
    code, out, err = indexed.run("ask", "how does login work")
    assert (code, out) == (0, "return token\n[1] src/login.py:3 login\n")
    assert "model tiny" in err


def test_explain_shows_contributions_and_losers(indexed: Terminal) -> None:
    code, out, _ = indexed.run("explain", "login")
    assert code == 0
    assert "dense +0.500 lexical +0.250" in out
    assert "lost: beyond the limit" in out
    _, out, _ = indexed.run("explain", "login", "--json")
    assert json.loads(out)["losers"][0]["lost_because"] == "beyond the limit"


def test_files_tells_state_and_reason(indexed: Terminal) -> None:
    indexed.program.repositories.files = [
        FileStatus("src/login.py", "b1", FileState.INDEXED, chunks=2),
        FileStatus("big.bin", "b2", FileState.SKIPPED, "larger than 1 MB"),
    ]
    code, out, _ = indexed.run("files")
    assert code == 0
    assert out == "skipped  big.bin:1  larger than 1 MB\nindexed  src/login.py:1  2 chunks\n"
    _, out, _ = indexed.run("files", "--state", "skipped", "--json")
    assert json.loads(out) == {"path": "big.bin", "state": "skipped", "reason": "larger than 1 MB", "chunks": 0}
    assert indexed.run("files", "src")[1] == "indexed  src/login.py:1  2 chunks\n"
    assert indexed.run("files", "src/gone.py")[0] == 3


def test_doctor_fails_when_something_is_not_healthy(terminal: Terminal) -> None:
    terminal.program.checks = [FakeCheck("nats", "/bin/nats-server", "2.15", True)]
    assert terminal.run("doctor")[0] == 0
    terminal.program.checks.append(FakeCheck("model", "", "", False, "install it"))
    code, out, _ = terminal.run("doctor")
    assert code == 1
    assert "install it" in out
    _, out, _ = terminal.run("doctor", "--json")
    assert json.loads(out.splitlines()[0]) == {
        "name": "nats", "found": "/bin/nats-server", "version": "2.15", "healthy": True, "todo": "",
    }  # fmt: skip


def test_dead_messages_are_listed_and_replayed(terminal: Terminal) -> None:
    terminal.program.letters.letters = [FakeLetter("7")]
    _, out, _ = terminal.run("dead", "list", "--json")
    assert json.loads(out)["error"] == "no answer"
    assert terminal.run("dead", "replay", "7") == (0, "1 replayed\n", "")
    assert terminal.run("dead", "replay", "--all") == (0, "1 replayed\n", "")
    assert terminal.run("dead", "replay")[0] == 2
    assert terminal.run("dead", "replay", "8")[0] == 3


def test_run_tells_where_it_listens(terminal: Terminal) -> None:
    code, out, _err = terminal.run("run", "gateway", "retrieval", "--json")
    assert (code, json.loads(out)) == (0, {"grpc": "unix:/tmp/x.sock", "ops": "127.0.0.1:1"})
    assert terminal.program.targets == ("gateway", "retrieval")
    assert terminal.run("run", "nothing")[0] == 2


def test_logs_show_the_last_lines_of_each_file(terminal: Terminal) -> None:
    assert "no logs" in terminal.run("logs")[2]
    folder = terminal.program.log_dir()
    folder.mkdir()
    (folder / "engine.log").write_text("one\ntwo\nthree\n")
    assert terminal.run("logs", "--lines", "2")[1] == "engine  two\nengine  three\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("bad"), 2),
        (errors.NotFound("gone"), 3),
        (errors.Unavailable("away"), 4),
        (errors.Conflict("locked", Reason.HOME_LOCKED), 4),
        (errors.PermissionDenied("no"), 1),
        (errors.Unauthenticated("who"), 1),
    ],
)
def test_each_expected_failure_has_its_exit_code_and_one_clear_line(indexed: Terminal, error: NearcodeError, code: int) -> None:
    indexed.program.assistant.failure = error
    found, out, err = indexed.run("ask", "x")
    assert (found, out) == (code, "")
    assert err == f"error: {error.message}\n  try: {failures.HINTS[error.reason]}\n"


def test_every_reason_says_what_to_do() -> None:
    assert set(failures.HINTS) == set(Reason)
    assert all(failures.HINTS.values())


def test_a_bug_is_one_line_and_a_log(indexed: Terminal) -> None:
    indexed.program.assistant.failure = ZeroDivisionError("oops")
    code, _, err = indexed.run("search", "x")
    log = indexed.program.log_dir() / "cli.log"
    assert code == 1
    assert err == f"internal error: ZeroDivisionError: oops\n  details: {log}\n"
    assert "Traceback" in log.read_text()


def test_ctrl_c_is_130_and_closes_the_engine(indexed: Terminal) -> None:
    indexed.program.assistant.failure = KeyboardInterrupt()  # type: ignore[assignment]
    assert indexed.run("search", "x")[0] == 130
    assert indexed.program.closed


def test_an_unknown_setting_is_named(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "nearcode.toml"
    file.write_text("[retrieval]\nlimits = 3\n")
    code, _, err = terminal.run("config", "check", str(file))
    assert code == 2
    assert "retrieval.limits" in err
    file.write_text("")
    assert terminal.run("config", "check", str(file)) == (0, f"{file}: ok\n", "")


def test_config_print_shows_what_differs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEARCODE_ORG", "acme")
    assert Terminal(Program(), capsys, monkeypatch).run("--home", str(tmp_path), "config", "print", "--diff")[0] == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_shells_get_a_completion_script(terminal: Terminal, shell: str) -> None:
    code, out, _ = terminal.run("completion", shell)
    assert code == 0
    assert "_NEARCODE_COMPLETE" in out


def test_code_cannot_steer_the_terminal(indexed: Terminal) -> None:
    indexed.program.assistant.snippets = (snippet(text="\x1b]0;owned\x07\n"),)
    assert "\x1b" not in indexed.run("search", "x")[1]
    indexed.program.assistant.texts = ("\x1b[2J",)
    assert "\x1b" not in indexed.run("ask", "x")[1]


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False), ("anything", False)])
def test_colors_are_for_terminals_and_no_color_is_heard(
    indexed: Terminal, monkeypatch: pytest.MonkeyPatch, no_color: str, colored: bool
) -> None:
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda stream=None, color=None: color is False)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert ("\x1b[" in indexed.run("search", "x")[1]) is colored


def test_help_is_quick_and_loads_no_engine() -> None:
    code = "import sys; from nearcode.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert not {"grpc", "numpy", "pydantic", "rich", "nats", "qdrant_client", "tree_sitter"} & set(loaded)


def test_a_reader_that_leaves_is_no_error() -> None:
    shell = f"{sys.executable} -m nearcode completion zsh | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in {"0", "141"}


def test_a_question_without_useful_context_says_so_and_is_no_failure(indexed: Terminal) -> None:
    assistant = indexed.program.assistant
    assistant.snippets, assistant.report = (), replace(assistant.report, useful=False, probability=0.03125)
    code, out, err = indexed.run("search", "how are invoices printed")
    assert (code, out) == (0, "")
    assert "no useful context" in err and "this is the nearest" not in err
    code, out, err = indexed.run("search", "how are invoices printed", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["results"], answer["useful"], answer["probability"]) == ([], False, 0.03125)


def test_search_shows_the_nearest_and_says_that_it_is_unlikely_to_help(
    indexed: Terminal,
) -> None:
    assistant = indexed.program.assistant
    assistant.report = replace(assistant.report, useful=False)
    code, out, err = indexed.run("search", "login")
    assert code == 0 and "src/login.py" in out
    assert "no useful context" in err and "this is the nearest" in err
    indexed.run("search", "login", "--useful")
    assert assistant.everything == [True, False]


def test_explain_draws_what_each_signal_gave_and_names_the_lanes(indexed: Terminal) -> None:
    code, out, err = indexed.run("explain", "login")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["1", "src/login.py:3", "login", "(0.750)", "88%", "likely", "useful"]
    assert "found by lexical #1 (4.500)  dense #2 (0.625)" in lines[1]
    bars = {line.split()[0]: line.count("█") for line in lines[2:4]}
    assert bars["dense"] == 2 * bars["lexical"] > 0
    assert "near misses" in lines and "\x1b" not in out
    assert "unknown words 0.25" in err and "75% likely useful" in err


def test_explain_tells_tools_the_same(indexed: Terminal) -> None:
    _, out, _ = indexed.run("explain", "login", "--json", "--tokens", "100", "--all")
    told = json.loads(out)
    assert (told["useful"], told["probability"], told["evidence"]) == (True, 0.75, {"unknown words": 0.25})
    assert told["results"][0]["lanes"] == {"dense": {"rank": 2, "score": 0.625}, "lexical": {"rank": 1, "score": 4.5}}
    assert sum(told["results"][0]["reasons"].values()) == told["results"][0]["score"]
    (query,) = indexed.program.assistant.asked
    assert (query.question, query.tokens, query.everything) == ("login", 100, True)


def test_explain_at_a_place_asks_for_the_context_of_its_completion(indexed: Terminal) -> None:
    assert indexed.run("explain", "src/login.py:4:5", "--limit", "3")[0] == 0
    (query,) = indexed.program.assistant.asked
    assert (query.question, query.limit) == ("", 3)
    assert (query.cursor.path, query.cursor.prefix) == ("src/login.py", "import os\n\ndef login():\n    ")
    assert indexed.program.assistant.workspaces[0].relative_path == ""
    code, _, err = indexed.run("explain", "src/gone.py:1:1")
    assert code == 3 and "no such file: src/gone.py" in err
    assert indexed.run("explain", "why does login fail with error:12:5 at start")[0] == 0
