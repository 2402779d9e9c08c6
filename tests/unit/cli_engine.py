"""An engine in memory for the command line's tests: what it knows, what it answers, what it was asked."""

import io
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from nearcode.cli.main import main
from nearcode.cli.program import Check, Client, DeadLetters, Program, Ready
from nearcode.domain.assistant import Found, Part, Report, Sources
from nearcode.domain.budget import StageReport
from nearcode.domain.completion import Message
from nearcode.domain.errors import InvalidRequest, NotFound
from nearcode.domain.repository import (
    FileStatus,
    Progress,
    RepositoryState,
    RepositoryStatus,
    Workspace,
    repository_id,
)
from nearcode.domain.retrieval import CodeCursor, LaneFind, Query, Snippet
from nearcode.domain.spaces import Comparison, Coverage, SpaceState, SpaceStatus

STAGES = (
    StageReport("resolve", 50.0, 1.25, 48.75, 0.0),
    StageReport("retrieve", 500.0, 12.5, 487.5, 1.25),
    StageReport("generate", 2400.0, 300.0, 2100.0, 13.75),
)
REPORT = Report(
    id="c1", plan="hybrid", model="tiny", untrusted=True, stages=STAGES, trace_id="ab12", finish_reason="stop", probability=0.75
)


def snippet(path: str = "src/login.py", line: int = 3, text: str = "def login():\n    return token\n") -> Snippet:
    return Snippet(
        "r1", path, "b1", line, line + 1, 0.75, text, {"dense": 0.5, "lexical": 0.25}, definitions=("login",),
        lanes=(LaneFind("dense", 2, 0.625), LaneFind("lexical", 1, 4.5)), probability=0.875,
    )  # fmt: skip


@dataclass
class FakeRepositories:
    """Indexes a folder in two looks."""

    statuses: dict[str, RepositoryStatus] = field(default_factory=dict)
    files: list[FileStatus] = field(default_factory=list)
    failing: str = ""
    looks: int = 0

    def add(self, folder: Path, state: RepositoryState = RepositoryState.READY, revision: str = "rev1") -> RepositoryStatus:
        url = folder.resolve().as_uri()
        status = RepositoryStatus(
            repository_id(url), url, folder.name, "", state, generation=1, revision=revision, files=2, chunks=5, seconds=1.5
        )
        self.statuses[status.id] = status
        return status

    async def connect(self, user: str, url: str, branch: str = "") -> RepositoryStatus:
        from nearcode.cli.workspaces import folder_of

        folder = folder_of(url)
        assert folder
        return self.add(folder, RepositoryState.CONNECTED, revision="")

    async def sync(self, user: str, repository: str) -> RepositoryStatus:
        self.looks = 0
        status = replace(self.statuses[repository], state=RepositoryState.INDEXING, generation=2)
        self.statuses[repository] = status
        return status

    async def get(self, user: str, repository: str) -> RepositoryStatus:
        self.looks += 1
        status = replace(self.statuses[repository], progress=Progress(self.looks, 2, self.looks * 2))
        if self.looks == 2:
            state = RepositoryState.FAILED if self.failing else RepositoryState.READY
            status = replace(status, state=state, revision="" if self.failing else "rev2", error=self.failing)
        self.statuses[repository] = status
        return status

    async def list_repositories(self, user: str) -> list[RepositoryStatus]:
        return list(self.statuses.values())

    async def disconnect(self, user: str, repository: str) -> None:
        del self.statuses[repository]

    async def list_files(self, user: str, repository: str) -> list[FileStatus]:
        return self.files

    async def digest(self, user: str, repository: str) -> dict[str, str]:
        return {"completion": "d1"}


@dataclass
class FakeAssistant:
    """Answers everything with the same snippet; keeps what it was asked."""

    snippets: tuple[Snippet, ...] = field(default_factory=lambda: (snippet(),))
    texts: tuple[str, ...] = ("return", " token")
    report: Report = REPORT
    failure: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    workspaces: list[Workspace] = field(default_factory=list)
    everything: list[bool] = field(default_factory=list)
    seconds: float = 0.0

    async def _stream(self) -> AsyncGenerator[Part, None]:
        if self.failure:
            raise self.failure
        yield Sources(self.snippets)
        for text in self.texts:
            yield text
        yield self.report

    def complete(
        self, user: str, workspace: Workspace, cursor: CodeCursor, max_tokens: int, limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        self.asked.append(cursor)
        self.workspaces.append(workspace)
        self.seconds = seconds
        return self._stream()

    def chat(
        self, user: str, workspaces: Sequence[Workspace], messages: Sequence[Message], limit: int, seconds: float
    ) -> AsyncGenerator[Part, None]:
        self.asked.append(messages[-1].content)
        self.workspaces += workspaces
        return self._stream()

    async def search(
        self,
        user: str,
        workspaces: Sequence[Workspace],
        query: str,
        limit: int,
        min_score: float,
        seconds: float,
        everything: bool = False,
    ) -> Found:
        if self.failure:
            raise self.failure
        if query == "wrong":
            raise InvalidRequest("the question is wrong")
        self.asked.append((query, limit, min_score))
        self.everything.append(everything)
        self.workspaces += workspaces
        return Found(self.snippets, self.report)

    async def context(
        self, user: str, workspace: Workspace, cursor: CodeCursor, limit: int, tokens: int, seconds: float
    ) -> Found:
        self.asked.append((cursor, limit, tokens))
        self.workspaces.append(workspace)
        return Found(self.snippets, self.report)

    async def explain(self, user: str, workspaces: Sequence[Workspace], query: Query, seconds: float) -> Found:
        self.asked.append(query)
        self.workspaces += workspaces
        loser = replace(snippet("src/other.py"), score=0.1, lost_because="beyond the limit")
        return Found(self.snippets, self.report, (loser,), {"unknown words": 0.25})

    async def report_outcome(self, user: str, completion: str, outcome: str) -> None:
        raise NotImplementedError


class FakeModels:
    """A chat space whose second model is filled by the third look."""

    def __init__(self) -> None:
        self.state = SpaceState("chat", "small")
        self.looks = 0

    def _status(self) -> SpaceStatus:
        done = {"building": min(self.looks, 3)}
        covered = (Coverage("chat", name, role, done.get(role, 3), 3) for role, name in self.state.roles.items())
        return SpaceStatus(self.state, tuple(covered))

    async def list_spaces(self) -> list[SpaceStatus]:
        self.looks += 1
        return [self._status()]

    async def use(self, space: str, profile: str) -> SpaceStatus:
        self.state = self.state.use(profile)
        return self._status()

    async def swap(self, space: str) -> SpaceStatus:
        self.state = self.state.swap()
        return self._status()

    async def roll_back(self, space: str) -> SpaceStatus:
        self.state = self.state.roll_back()
        return self._status()

    async def abandon(self, space: str) -> SpaceStatus:
        self.state = self.state.abandon()
        return self._status()

    async def compare(self, space: str, questions: int) -> Comparison:
        return Comparison(7, self.state.active, self.state.building or self.state.previous, 0.5, 0.75, 0.9)


@dataclass
class FakeClient:
    assistant: FakeAssistant
    repositories: FakeRepositories
    models: FakeModels
    user: str = "local"

    async def warm_model(self) -> None: ...


@dataclass
class FakeCheck:
    name: str
    found: str
    version: str
    healthy: bool
    todo: str = ""


@dataclass
class FakeLetter:
    id: str
    subject: str = "quarantine.work"
    event: str = "ChunksCut"
    repository: str = "r1"
    reason: str = "INDEX_UNAVAILABLE"
    error: str = "no answer"
    when: str = "2026-01-01T00:00:00Z"
    deliveries: int = 5


@dataclass
class FakeLetters:
    letters: list[FakeLetter] = field(default_factory=list)

    async def list(self) -> Sequence[FakeLetter]:
        return self.letters

    async def replay(self, ids: Sequence[str] | None) -> int:
        if ids is None:
            return len(self.letters)
        if unknown := set(ids) - {letter.id for letter in self.letters}:
            raise NotFound(f"no dead message {unknown.pop()}")
        return len(ids)


@dataclass
class FakeProgram(Program):
    """The engine in memory behind the commands."""

    folder: Path = Path()
    repositories: FakeRepositories = field(default_factory=FakeRepositories)
    assistant: FakeAssistant = field(default_factory=FakeAssistant)
    checks: list[FakeCheck] = field(default_factory=list)
    letters: FakeLetters = field(default_factory=FakeLetters)
    space_models: FakeModels = field(default_factory=FakeModels)
    targets: tuple[str, ...] = ()
    closed: bool = False

    def home_dir(self) -> Path:
        return self.folder / "home"

    def log_dir(self) -> Path:
        return self.folder / "logs"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        try:
            yield FakeClient(self.assistant, self.repositories, self.space_models)
        finally:
            self.closed = True

    async def run(self, targets: Sequence[str], ready: Ready) -> None:
        self.targets = tuple(targets)
        ready({"grpc": "unix:/tmp/x.sock", "ops": "127.0.0.1:1"})

    async def doctor(self) -> Sequence[Check]:
        return self.checks

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[DeadLetters]:
        yield self.letters


@dataclass
class Terminal:
    """Types commands and reads what they print."""

    program: FakeProgram
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        code = main(arguments, self.program)
        out, err = self.capture.readouterr()
        return code, out, err
