"""A policy on a real engine, of a repository that is fetched over HTTPS; and what is left of it afterwards: nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nearcode import settings
from nearcode.app import App
from nearcode.domain.errors import NotFound
from nearcode.domain.policy import IndexPolicy
from nearcode.domain.repository import FileState, RepositoryState, RepositoryStatus
from nearcode.events import topology

from tests.certificates import Authority
from tests.git_server import GitServer, git_server

FILES = {
    "main.go": "package main\n\nfunc main() { serve() }\n",
    "api/api.gen.go": "package api\n\nfunc Generated() int { return 1 }\n",
    "api/hand.go": "package api\n\nfunc Written() int { return 2 }\n",
    "docs/guide.py": "def how_to_serve() -> str:\n    return 'at once'\n",
}
NO_GENERATED = IndexPolicy(exclude=("*.gen.go",))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "host", Authority(tmp_path / "authority")) as running:
        running.push("team/shop", FILES)
        yield running


@pytest.fixture
async def app(tmp_path: Path, server: GitServer) -> AsyncIterator[App]:
    values = {"home": tmp_path / "home", "ingestion": {"git_ca_file": server.ca, "bulk_parts": 0}}
    async with App(settings.load(None, values), ("all",)) as app:
        await app.warm()
        await app.start_workers()
        yield app


async def settled(app: App, repository: str) -> RepositoryStatus:
    ingestion = await app.local_ingestion()
    async with asyncio.timeout(60):
        while (status := await ingestion.get(repository)).state != RepositoryState.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await ingestion.digest(repository)  # waits until what was retired is gone
    return status


async def paths(app: App, repository: str) -> set[str]:
    return {str(point.payload["path"]) async for point in (await app.index()).scan(repository)}


async def queued(app: App, repository: str) -> dict[str, int]:
    """Messages of a repository by subject, and the names of its artifacts, in every store of the broker."""
    stream, found = (await app.nats()).jetstream(), dict[str, int]()
    names = [each.name for each in topology.STREAMS if each.name != "facts"]
    for name in (*names, f"KV_{topology.MANIFESTS}", f"KV_{topology.BUILDS}"):
        subjects = (await stream.stream_info(name, subjects_filter=">")).state.subjects or {}
        found |= {each: count for each, count in subjects.items() if repository in each}
    return found


async def test_a_changed_policy_drops_and_adds_points_and_ends_as_if_it_had_always_been_so(app: App, server: GitServer) -> None:
    ingestion, url = await app.local_ingestion(), server.url("team/shop")
    status = await ingestion.connect(url, "main")
    await ingestion.sync(status.id)
    await settled(app, status.id)
    whole = await ingestion.digest(status.id)
    assert await paths(app, status.id) == set(FILES)

    await ingestion.connect(url, "main", NO_GENERATED)
    assert (await settled(app, status.id)).files == 3
    assert await paths(app, status.id) == set(FILES) - {"api/api.gen.go"}
    left_out = {each.path: each.reason for each in await ingestion.list_files(status.id) if each.state is FileState.SKIPPED}
    assert left_out == {"api/api.gen.go": "not selected: policy exclude `*.gen.go`"}
    without = await ingestion.digest(status.id)

    await ingestion.connect(url, "main", IndexPolicy())
    await settled(app, status.id)
    assert await ingestion.digest(status.id) == whole

    await ingestion.disconnect(status.id)
    await ingestion.connect(url, "main", NO_GENERATED)
    await ingestion.sync(status.id)
    await settled(app, status.id)
    assert await ingestion.digest(status.id) == without


async def test_a_disconnected_repository_leaves_no_points_manifest_artifacts_clone_or_messages(
    app: App, server: GitServer, tmp_path: Path
) -> None:
    ingestion = await app.local_ingestion()
    status = await ingestion.connect(server.url("team/shop"), "main")
    await ingestion.sync(status.id)
    await settled(app, status.id)
    clone, cache = tmp_path / "home" / "git" / status.id, tmp_path / "home" / "cache" / "revisions"
    assert (clone / "HEAD").exists() and any(cache.glob(f"*{status.id}*"))
    server.push("team/shop", {f"src/part{number}.go": f"package src\n\nvar X{number} = 1\n" for number in range(200)})
    await ingestion.sync(status.id)  # first indexes' queue: half of it is still there
    await ingestion.disconnect(status.id)
    with pytest.raises(NotFound):
        await ingestion.get(status.id)
    assert not clone.exists() and not list(cache.glob(f"*{status.id}*"))
    assert await paths(app, status.id) == set()
    left = await queued(app, status.id)
    assert set(left) <= {f"$KV.manifests.{status.id}"}, "a deleted key's marker, and nothing else"
    assert (await ingestion.backlog()).bulk.get(status.id, 0) == 0


async def test_a_users_own_repository_stays_where_it_is(app: App, server: GitServer) -> None:
    own = server.root / "team" / "shop.git"
    ingestion = await app.local_ingestion()
    status = await ingestion.connect(own.as_uri(), "main", IndexPolicy(include=("docs/",)))
    await ingestion.sync(status.id)
    await settled(app, status.id)
    assert await paths(app, status.id) == {"docs/guide.py"}
    await ingestion.disconnect(status.id)
    assert server.head("team/shop")
