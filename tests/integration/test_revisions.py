"""Revisions on a real engine: a branch that is forced back, lines that move, and ids that stay."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nearcode import engine, settings
from nearcode.app import App
from nearcode.domain.index import StoredPoint
from nearcode.domain.repository import RepositoryState, RepositoryStatus, Workspace

from tests.e2e.shop import FILES, write_shop


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(settings.load(None, {"home": tmp_path / "home"}), ("all",)) as app:
        await app.warm()
        await app.start_workers()
        yield app


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = write_shop(tmp_path / "shop")
    git(folder, "init", "-q")
    return folder


async def settled(app: App, repository: str) -> RepositoryStatus:
    repositories = await app.repositories()
    async with asyncio.timeout(60):
        while (status := await repositories.get("local", repository)).state != RepositoryState.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await repositories.digest("local", repository)  # waits until what was retired is gone
    return status


async def points(app: App, repository: str) -> dict[str, StoredPoint]:
    return {point.id: point async for point in (await app.index()).scan(repository)}


async def test_a_branch_forced_back_within_seconds_ends_where_it_was(app: App, repository: Path) -> None:
    first = commit(repository, "A")
    repositories = await app.repositories()
    status = await repositories.connect("local", repository.as_uri(), "main")
    await repositories.sync("local", status.id)
    assert (await settled(app, status.id)).revision == first
    digest = await repositories.digest("local", status.id)
    for text in ("B1", "B2", "B3"):
        (repository / "shop" / "cart.py").write_text(
            FILES["shop/cart.py"] + f"\n\ndef {text.lower()}() -> str:\n    return '{text}'\n"
        )
        commit(repository, text)
        await repositories.sync("local", status.id)
    git(repository, "reset", "-q", "--hard", first)
    await repositories.sync("local", status.id)
    back = await settled(app, status.id)
    assert (back.revision, back.wanted) == (first, first)
    assert back.generation == 5
    assert await repositories.digest("local", status.id) == digest
    found = await (await app.gateway()).search("local", [Workspace((repository.as_uri(),))], "b3", 10, 0.0, 10.0)
    assert all("b3()" not in snippet.text for snippet in found.snippets)


async def test_a_comment_above_a_function_moves_no_ids_lines_in_the_revision_that_is_served(app: App, repository: Path) -> None:
    commit(repository, "A")
    repositories = await app.repositories()
    status = await repositories.connect("local", repository.as_uri(), "main")
    await repositories.sync("local", status.id)
    await settled(app, status.id)
    before = await points(app, status.id)
    prices = repository / "shop" / "prices.py"
    prices.write_text(prices.read_text().replace("def add_tax", "# a comment\ndef add_tax"))
    commit(repository, "comment")
    await repositories.sync("local", status.id)
    during = await points(app, status.id)
    await settled(app, status.id)
    after = await points(app, status.id)
    for later in (during, after):
        for name in before.keys() & later.keys():
            assert later[name].payload == before[name].payload
    assert {point.payload["path"] for name, point in after.items() if name not in before} == {"shop/prices.py"}
    found = await (await app.gateway()).search("local", [Workspace((repository.as_uri(),))], "add_tax", 1, 0.0, 10.0)
    (snippet,) = found.snippets
    assert prices.read_text().splitlines()[snippet.start_line - 1].startswith(("# a comment", "def add_tax"))


async def test_a_disconnected_repository_is_not_found_any_more(app: App, repository: Path) -> None:
    commit(repository, "A")
    repositories = await app.repositories()
    status = await repositories.connect("local", repository.as_uri(), "main")
    await repositories.sync("local", status.id)
    await settled(app, status.id)
    await repositories.disconnect("local", status.id)
    assert await points(app, status.id) == {}
    assert await repositories.list_repositories("local") == []
    again = await repositories.connect("local", repository.as_uri(), "main")
    await repositories.sync("local", again.id)
    assert (await settled(app, again.id)).files == 4
    (repository / "shop" / "cart.py").write_text("def only_this_is_left() -> None: ...\n")
    await repositories.disconnect("local", again.id)
    commit(repository, "B")
    third = await repositories.connect("local", repository.as_uri(), "main")
    await repositories.sync("local", third.id)
    await settled(app, third.id)
    found = await (await app.gateway()).search("local", [], "only_this_is_left", 1, 0.0, 10.0)
    assert found.snippets[0].path == "shop/cart.py"


async def test_a_client_in_the_same_process_is_as_good_as_an_engine(tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "shop")
    async with engine.client(settings.load(None, {"home": tmp_path / "home"})) as client:
        status = await client.repositories.connect(client.user, folder.as_uri())
        await client.repositories.sync(client.user, status.id)
        async with asyncio.timeout(60):
            while (await client.repositories.get(client.user, status.id)).state != RepositoryState.READY:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        found = await client.assistant.search(client.user, [], "value added tax", 1, 0.0, 10.0)
        assert found.snippets[0].path == "shop/prices.py"
        assert not client.running
