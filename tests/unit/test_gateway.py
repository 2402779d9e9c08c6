"""What an IDE gets from the gateway: the right repository, an answer in time, and the truth about how it came about."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearcode.api.events.v1 import events_pb2
from nearcode.domain.assistant import Part, Report, Sources
from nearcode.domain.budget import StageReport
from nearcode.domain.completion import Message, Outcome
from nearcode.domain.errors import InvalidRequest, NotFound, Reason, Unavailable
from nearcode.domain.principal import Scope
from nearcode.domain.repository import FileState, FileStatus, RepositoryState, RepositoryStatus, Workspace
from nearcode.domain.retrieval import CodeCursor, Context, Query, Snippet
from nearcode.gateway.access import OpenAccess
from nearcode.gateway.repositories import _page
from nearcode.gateway.service import Gateway
from nearcode.gateway.settings import GatewaySettings
from nearcode.gateway.workspaces import resolve

from tests.unit.memory_stores import MemoryBus

SHOP = RepositoryStatus("rshop", "file:///code/shop", "shop", "", RepositoryState.READY)
BASE = RepositoryStatus("rbase", "https://host/team/base", "team/base", "main", RepositoryState.READY)
SNIPPET = Snippet("rshop", "a.py", "b1", 1, 2, 0.5, "def a(): ...")
CURSOR = CodeCursor("b.py", "import a\na.")


class Retriever:
    def __init__(self) -> None:
        self.asked: list[tuple[Scope, Query]] = []
        self.error: Exception | None = None
        self.context = Context((SNIPPET,), "hybrid", stages=(StageReport("search", 5, 1, 4, 0),))

    async def retrieve(self, scope: Scope, query: Query, seconds: float) -> Context:
        self.asked.append((scope, query))
        if self.error:
            raise self.error
        return self.context

    explain = retrieve


class Generator:
    def __init__(self, *parts: str | Outcome | Exception) -> None:
        self.parts = parts or ("call(", ")", Outcome("toy", "stop"))
        self.closed = False

    async def complete(
        self, cursor: CodeCursor, snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        try:
            for part in self.parts:
                await asyncio.sleep(0)
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self.closed = True

    async def chat(
        self, messages: Sequence[Message], snippets: Sequence[Snippet], max_tokens: int, seconds: float
    ) -> AsyncGenerator[str | Outcome, None]:
        async for part in self.complete(CURSOR, snippets, max_tokens, seconds):
            yield part


class World:
    def __init__(self, *parts: str | Outcome | Exception) -> None:
        self.retriever, self.generator, self.bus = Retriever(), Generator(*parts), MemoryBus()
        access = OpenAccess(self.repositories)
        self.gateway = Gateway(self.retriever, self.generator, access, self.bus, GatewaySettings())

    async def repositories(self) -> list[RepositoryStatus]:
        return [SHOP, BASE]

    async def complete(self, seconds: float = 3.0) -> list[Part]:
        workspace = Workspace(("file:///code/shop/web",))
        return [part async for part in self.gateway.complete("me", workspace, CURSOR, 0, 0, seconds)]


async def test_a_completion_brings_its_sources_then_text_then_a_report() -> None:
    world = World()
    sources, *texts, report = await world.complete()
    assert isinstance(sources, Sources)
    assert sources.snippets == (SNIPPET,)
    assert "".join(map(str, texts)) == "call()"
    assert isinstance(report, Report)
    assert (report.plan, report.model, report.degraded) == ("hybrid", "toy", "")
    assert {stage.name for stage in report.stages} == {"resolve", "retrieve", "search", "generate"}


async def test_the_edited_file_is_named_from_the_repositorys_root() -> None:
    world = World()
    await world.complete()
    scope, query = world.retriever.asked[0]
    assert scope.repositories == {"rshop"}
    assert query.cursor
    assert (query.cursor.path, query.path_prefix) == ("web/b.py", "")


async def test_a_search_in_a_folder_stays_in_it() -> None:
    world = World()
    await world.gateway.search("me", [Workspace(("file:///code/shop/web",))], "where", 0, 0.0, 1.0)
    assert world.retriever.asked[0][1].path_prefix == "web"


async def test_without_a_model_the_sources_are_the_answer_and_the_report_says_why() -> None:
    world = World(Unavailable("no model", Reason.GENERATOR_UNAVAILABLE))
    sources, report = await world.complete()
    assert isinstance(sources, Sources)
    assert isinstance(report, Report)
    assert (report.plan, report.degraded) == ("context-only", Reason.GENERATOR_UNAVAILABLE)


async def test_without_an_index_the_model_goes_on_with_the_file_alone() -> None:
    world = World()
    world.retriever.error = Unavailable("no index", Reason.INDEX_UNAVAILABLE)
    *_, report = await world.complete()
    assert isinstance(report, Report)
    assert (report.plan, report.degraded, report.model) == ("in-file", Reason.INDEX_UNAVAILABLE, "toy")


async def test_a_search_without_an_index_is_an_error() -> None:
    world = World()
    world.retriever.error = Unavailable("no index", Reason.INDEX_UNAVAILABLE)
    with pytest.raises(Unavailable):
        await world.gateway.search("me", [], "where", 0, 0.0, 1.0)


async def test_a_deadline_too_short_for_the_model_brings_the_sources() -> None:
    *_, report = await World().complete(seconds=0.045)
    assert isinstance(report, Report)
    assert (report.plan, report.degraded) == ("context-only", Reason.DEADLINE_EXCEEDED)


async def test_whoever_stops_listening_stops_the_model() -> None:
    world = World("a", "b", "c", Outcome("toy", "stop"))
    answer = world.gateway.complete("me", Workspace((SHOP.url,)), CURSOR, 0, 0, 3.0)
    async for part in answer:
        if part == "a":
            break
    await answer.aclose()
    assert world.generator.closed


async def test_what_was_served_is_told_without_any_code() -> None:
    world = World()
    await world.complete()
    await world.gateway.close()
    (served,) = world.bus.take(events_pb2.CompletionServed)
    assert (served.user, served.plan, served.sources, served.characters) == ("me", "hybrid", 1, 6)
    (retrieved,) = world.bus.take(events_pb2.ContextRetrieved)
    assert retrieved.snippets == 1


@pytest.mark.parametrize("outcome", ["", "eaten"])
async def test_an_unknown_outcome_is_refused(outcome: str) -> None:
    with pytest.raises(InvalidRequest):
        await World().gateway.report_outcome("me", "c1", outcome)


@pytest.mark.parametrize(("question", "limit"), [("", 1), ("   ", 1), ("x" * 20_001, 1), ("x", -1), ("x", 201)])
async def test_a_question_that_cannot_be_is_refused(question: str, limit: int) -> None:
    with pytest.raises(InvalidRequest):
        await World().gateway.search("me", [], question, limit, 0.0, 1.0)


@pytest.mark.parametrize(
    "remote",
    ["https://host/team/base", "https://HOST/team/base.git", "git@host:team/base.git", "ssh://git@host/team/base/"],
)
def test_a_repository_is_found_by_any_spelling_of_its_remote(remote: str) -> None:
    assert resolve(Workspace((remote,)), [SHOP, BASE]).repository == BASE


def test_the_nearest_repository_around_a_folder_is_meant() -> None:
    inner = RepositoryStatus("rin", "file:///code/shop/vendor/inner", "inner", "", RepositoryState.READY)
    place = resolve(Workspace(("file:///code/shop/vendor/inner/src",), relative_path="deep"), [SHOP, inner])
    assert (place.repository, place.folder) == (inner, "src/deep")


def test_a_neighbor_with_a_longer_name_is_not_inside() -> None:
    with pytest.raises(NotFound):
        resolve(Workspace(("file:///code/shopping",)), [SHOP])


def test_a_forbidden_repository_and_one_that_does_not_exist_answer_alike() -> None:
    answers = set()
    for readable in ([], [BASE]):
        with pytest.raises(NotFound) as caught:
            resolve(Workspace((SHOP.url,)), readable)
        answers.add((caught.value.message, caught.value.reason))
    assert len(answers) == 1


@given(st.integers(0, 40), st.integers(0, 15))
def test_pages_of_files_add_up_to_the_whole_list(count: int, size: int) -> None:
    files = [FileStatus(f"{number:03}.py", "b", FileState.INDEXED) for number in range(count)]
    seen: list[FileStatus] = []
    token = ""
    while True:
        page, token = _page(files, size, token)
        seen.extend(page)
        if not token:
            break
    assert seen == files


async def test_why_a_completion_gets_its_context_can_be_asked() -> None:
    world = World()
    world.retriever.context = replace(world.retriever.context, probability=0.25, useful=False, evidence={"covered": 0.5})
    found = await world.gateway.explain(
        "me", [Workspace(("file:///code/shop/web",))], Query(cursor=CURSOR, limit=0, tokens=90), 1.0
    )
    _, query = world.retriever.asked[0]
    assert query.cursor
    assert (query.cursor.path, query.tokens, query.path_prefix, query.limit) == ("web/b.py", 90, "", GatewaySettings().snippets)
    assert (found.report.probability, found.report.useful, found.evidence) == (0.25, False, {"covered": 0.5})


async def test_a_search_may_ask_for_what_is_unlikely_to_be_useful() -> None:
    world = World()
    await world.gateway.search("me", [], "where", 0, 0.0, 1.0)
    await world.gateway.search("me", [], "where", 0, 0.0, 1.0, everything=True)
    assert [query.everything for _, query in world.retriever.asked] == [False, True]
