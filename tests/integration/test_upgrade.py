"""A newer nearcode on an index that an older one made: it answers throughout, makes the index anew, and nothing old stays."""

import json
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nearcode.app import App
from nearcode.domain import chunk
from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.retrieval import Snippet
from nearcode.embedding import profiles
from nearcode.ingestion.service import Ingestion
from nearcode.settings import load
from nearcode.stores import SERVICES

from tests.e2e.shop import write_shop
from tests.servers import Server, eventually

WITHOUT_LANGUAGE_MODEL = [name for name in SERVICES if name != "generation"]
SECONDS = 60.0


@asynccontextmanager
async def engine(home: Path, **values: object) -> AsyncIterator[App]:
    """An engine in this process on a home."""
    settings = load(overrides={"home": home, "generation": {"address": "127.0.0.1:9"}, **values})
    async with App(settings, WITHOUT_LANGUAGE_MODEL) as app:
        await app.warm()
        await app.start_workers()
        yield app


async def index(app: App, folder: Path) -> RepositoryStatus:
    """Indexes a folder; returns when it is served."""
    ingestion = await app.local_ingestion()
    repository = (await ingestion.connect(folder.as_uri())).id
    await ingestion.sync(repository)
    return await settled(ingestion, repository)


async def settled(ingestion: Ingestion, repository: str) -> RepositoryStatus:
    async def ready() -> bool:
        return (await ingestion.get(repository)).state is RepositoryState.READY

    await eventually(ready, SECONDS, "it is not served")
    return await ingestion.get(repository)


async def digest(app: App, repository: str) -> dict[str, str]:
    return await (await app.local_ingestion()).digest(repository)


async def search(app: App, question: str = "how much tax does a customer pay") -> tuple[Snippet, ...]:
    found = await (await app.gateway()).search("local", [], question, 50, -100.0, 20.0)
    return tuple(found.snippets)


async def stored(app: App, repository: str) -> set[str]:
    return {point.id async for point in (await app.index()).scan(repository)}


def spans(snippets: tuple[Snippet, ...]) -> list[tuple[str, int, int]]:
    return [(one.path, one.start_line, one.end_line) for one in snippets]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "shop")


@pytest.fixture(params=["embedded", "server"])
def store(request: pytest.FixtureRequest, qdrant: Server) -> dict[str, object]:
    """Settings of an index in the engine, or on a server."""
    if request.param == "embedded":
        return {}
    prefix = f"test{uuid.uuid4().hex}"
    return {"index": {"url": qdrant.url, "grpc_port": qdrant.ports["grpc"], "collection_prefix": prefix}}


async def clean(place: Path, folder: Path) -> tuple[dict[str, str], set[str]]:
    """The digest and the points of an index made by this version alone."""
    async with engine(place) as app:
        status = await index(app, folder)
        return await digest(app, status.id), await stored(app, status.id)


async def test_what_an_older_chunker_cut_answers_until_all_is_cut_anew_and_nothing_of_it_stays(
    tmp_path: Path, folder: Path, store: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(chunk, "CHUNKER", "outline-0")
        async with engine(tmp_path / "home", **store) as app:
            status = await index(app, folder)
            before, old = spans(await search(app)), await stored(app, status.id)
    async with engine(tmp_path / "home", **store) as app:
        ingestion = await app.local_ingestion()

        async def answers_until_ready() -> bool:
            now = await ingestion.get(status.id)
            assert (now.revision, now.wanted, now.generation) == (status.revision, status.wanted, status.generation + 1)
            assert spans(await search(app)) == before
            return now.state is RepositoryState.READY

        await eventually(answers_until_ready, SECONDS, "it is not indexed anew")
        assert (await digest(app, status.id), await stored(app, status.id)) == await clean(tmp_path / "clean", folder)
        assert spans(await search(app)) == before
        assert not old & await stored(app, status.id)


async def test_an_index_that_somebody_deleted_is_made_again_at_the_next_start(tmp_path: Path, folder: Path) -> None:
    async with engine(tmp_path / "home") as app:
        status = await index(app, folder)
        before, found = await stored(app, status.id), spans(await search(app))
    shutil.rmtree(tmp_path / "home" / "index")
    async with engine(tmp_path / "home") as app:

        async def whole() -> bool:
            return await stored(app, status.id) == before

        await eventually(whole, SECONDS, "it is not indexed anew")
        await settled(await app.local_ingestion(), status.id)
        assert spans(await search(app)) == found


async def test_an_index_of_an_older_layout_is_made_again_at_the_next_start(tmp_path: Path, folder: Path) -> None:
    made = tmp_path / "home" / "index" / "completion" / "index.json"
    async with engine(tmp_path / "home") as app:
        status = await index(app, folder)
        before, found = await stored(app, status.id), spans(await search(app))
    made.write_text(json.dumps({**json.loads(made.read_text()), "schema": 1}))
    async with engine(tmp_path / "home") as app:

        async def whole() -> bool:
            return await stored(app, status.id) == before

        await eventually(whole, SECONDS, "it is not indexed anew")
        await settled(await app.local_ingestion(), status.id)
        assert spans(await search(app)) == found
    assert json.loads(made.read_text())["schema"] > 1


async def test_questions_of_a_new_table_meet_no_vectors_of_the_old_one(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        known = {**profiles._profiles(), "an-older-table": profiles.entry("nearcode-static-1")}
        earlier.setattr(profiles, "_profiles", lambda: known)
        async with engine(tmp_path / "home", embedding={"profile": "an-older-table"}) as app:
            status = await index(app, folder)
            old = await stored(app, status.id)
    async with engine(tmp_path / "home") as app:
        ingestion = await app.local_ingestion()
        await settled(ingestion, status.id)
        assert (await digest(app, status.id), await stored(app, status.id)) == await clean(tmp_path / "clean", folder)
        assert not old & await stored(app, status.id)
        found = spans(await search(app))
        assert len(set(found)) == len(found) == status.chunks
