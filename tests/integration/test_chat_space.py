"""The chat space in a real engine with a real transformer: filled behind, asked as far as it is filled, in nobody's way."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from nearcode.app import App
from nearcode.chunking.outline import outline
from nearcode.chunking.shapes import SHAPES
from nearcode.domain.assistant import Assistant, Found
from nearcode.domain.errors import InvalidRequest
from nearcode.domain.languages import language_of
from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.spaces import CHAT, Coverage, collection_key
from nearcode.settings import load
from nearcode.stores import SERVICES

from tests import models
from tests.e2e.shop import write_shop
from tests.engines import NEARCODE, environment, start, stop
from tests.engines import Engine as Running
from tests.servers import commands_below, eventually, wait_until

BGE, WIDER = "bge-small-en-v1-5", "coderankembed"
QUESTION = "how much value added tax does a customer pay"
WITHOUT_LANGUAGE_MODEL = [name for name in SERVICES if name != "generation"]
SECONDS = 120.0
"""Filling the shop takes a second of an idle processor; the rest is for busy machines."""


@dataclass
class Engine:
    """An engine in this process, told to index one folder. `embedded` counts the texts that each model was given."""

    app: App
    folder: Path
    assistant: Assistant
    embedded: Counter[str] = field(default_factory=Counter)
    repository: str = ""

    async def index(self) -> RepositoryStatus:
        """Indexes the folder as it is now; returns when it is served."""
        ingestion = await self.app.local_ingestion()
        self.repository = (await ingestion.connect(self.folder.resolve().as_uri())).id
        wanted = await ingestion.sync(self.repository)
        status = wanted
        while status.generation < wanted.generation or status.state is not RepositoryState.READY:
            assert status.state is not RepositoryState.FAILED, status.error
            await asyncio.sleep(0.02)
            status = await ingestion.get(self.repository)
        return status

    async def filled(self, most: float = 1.0) -> None:
        """Returns when the chat space is filled so far."""

        async def far_enough() -> bool:
            found = await self.coverage()
            assert found is None or not found.error, found.error
            return found is not None and found.ratio >= most

        await eventually(far_enough, SECONDS, "the chat space is not filled")

    async def coverage(self) -> Coverage | None:
        covered = (await (await self.app.local_ingestion()).get(self.repository)).coverage
        return next((one for one in covered if one.space == CHAT), None)

    async def search(self, question: str = QUESTION) -> Found:
        return await self.assistant.search("local", [], question, 10, 0.0, 20.0)

    async def stored(self, profile: str = BGE) -> dict[str, str]:
        """What the chat space holds: the path of each point by its id."""
        index = await self.app.index(collection_key(CHAT, profile))
        return {point.id: str(point.payload["path"]) async for point in index.scan(self.repository)}

    def models_running(self) -> int:
        """Children with a transformer."""
        return sum("onnx_worker" in command for command in commands_below())


@asynccontextmanager
async def engine(
    place: Path, chat: Mapping[str, object] = {}, part_files: int = 48, whole: bool = False
) -> AsyncIterator[Engine]:
    """An engine on a home and a shop below `place`. Not `whole`, it lacks its language model, and works behind at the priority
    of everything else: a busy machine's tests end, too."""
    folder = place / "shop"
    if not folder.exists():
        write_shop(folder)
    values = {"home": place / "home", "embedding": {"chat": chat}, "ingestion": {"part_files": part_files}}
    settings = load(overrides={**values, "generation": {"address": "127.0.0.1:9"}})
    async with App(settings, ("all",) if whole else WITHOUT_LANGUAGE_MODEL) as app:
        embedded: Counter[str] = Counter()
        app.observers = replace(app.observers, batch=lambda profile, texts, took: embedded.update({profile: texts}))
        await app.warm()
        await app.start_workers()
        yield Engine(app, folder, await app.gateway(), embedded)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose home has bge-small, as `nearcode models pull` leaves it."""
    folder = tmp_path / "home" / "models" / BGE
    folder.parent.mkdir(parents=True)
    folder.symlink_to(models.bge_small())
    return tmp_path


def definitions_below(folder: Path) -> int:
    """Chunks of a folder where each definition is one: the space of a model that reads little takes those."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return sum(
        len(outline(path.name, path.read_bytes(), SHAPES["definitions"]).chunks) for path in files if language_of(path.name)
    )


def reasons(found: Found) -> set[str]:
    assert found.report.plan == "hybrid"
    return {reason for snippet in found.snippets for reason in snippet.reasons}


async def asked_in_chat(running: Engine) -> None:
    """Returns when answers come from the chat space, too."""
    await eventually(lambda: _by_chat(running), SECONDS, "no answer from the chat space")


async def _by_chat(running: Engine) -> bool:
    return "chat" in reasons(await running.search())


async def test_answers_come_before_the_chat_space_is_filled_and_from_it_after(place: Path) -> None:
    async with engine(place, whole=True) as running:
        await running.app.model(BGE)
        with running.app.in_front():  # as if one question after the other was asked
            status = await running.index()
            [coverage] = status.coverage
            assert (coverage.files_done, coverage.files_total, coverage.profile) == (0, status.files, BGE)
            assert "chat" not in reasons(await running.search())
            assert await running.stored() == {}
            assert running.embedded[BGE] == 0
        await running.filled()
        await asked_in_chat(running)
        [first, *_] = (await running.search()).snippets
        assert first.path == "shop/prices.py"
        assert len(await running.stored()) == running.embedded[BGE] == definitions_below(place / "shop")


async def test_a_change_fills_only_its_file(place: Path) -> None:
    async with engine(place) as running:
        await running.index()
        await running.filled()
        before, points = running.embedded[BGE], await running.stored()
        (running.folder / "shop" / "refund.py").write_text("def refund(order):\n    return order.total\n")
        (running.folder / "README.md").unlink()
        await running.index()
        await running.filled()
        assert running.embedded[BGE] == before + 1
        kept = {point for point, path in points.items() if path != "README.md"}

        async def only_the_change() -> bool:  # what is gone is cleared away after it is covered
            now = await running.stored()
            return kept < now.keys() and {path for point, path in now.items() if point not in kept} == {"shop/refund.py"}

        await eventually(only_the_change, SECONDS, "something else was filled")


async def test_a_disconnected_repository_leaves_nothing_in_the_chat_space(place: Path) -> None:
    async with engine(place) as running:
        await running.index()
        await running.filled()
        await (await running.app.local_ingestion()).disconnect(running.repository)
        assert await running.stored() == {}


@pytest.mark.parametrize(("model", "chat"), [(True, {"enabled": "off"}), (False, {})], ids=["off", "without a model"])
async def test_nothing_of_it_is_there_when(model: bool, chat: Mapping[str, object], place: Path) -> None:
    if not model:
        (place / "home" / "models" / BGE).unlink()
    async with engine(place, chat) as running:
        assert (await running.index()).coverage == ()
        assert not any("chat" in reason for reason in reasons(await running.search()))
        assert running.models_running() == 0
        assert await (await running.app.models()).list_spaces() == []
        assert not (place / "home" / "index" / collection_key(CHAT, BGE)).exists()


async def test_a_model_that_is_pulled_while_the_engine_runs_is_taken_up(place: Path) -> None:
    folder = place / "home" / "models" / BGE
    weights = folder.readlink()
    folder.unlink()
    async with engine(place) as running:
        await running.index()
        assert "chat" not in reasons(await running.search())
        folder.symlink_to(weights)
        await asked_in_chat(running)


async def test_a_model_of_the_wrong_dimension_stores_nothing_and_disturbs_nobody(place: Path) -> None:
    async with engine(place, {"profile": WIDER, "folder": models.bge_small()}) as running:
        status = await running.index()
        assert "chat" not in reasons(await running.search())

        async def told() -> bool:
            found = await running.coverage()
            return bool(found and "384" in found.error and "768" in found.error)

        await eventually(told, SECONDS, "nobody is told")
        assert await running.stored(WIDER) == {}
        coverage = await running.coverage()
        assert coverage and coverage.ratio < 1.0
        assert "chat" not in reasons(await running.search())
        assert (await (await running.app.local_ingestion()).get(running.repository)).generation == status.generation


async def test_a_model_of_the_wrong_dimension_is_not_taken_for_another(place: Path) -> None:
    (place / "home" / "models" / WIDER).symlink_to(models.bge_small())
    async with engine(place) as running:
        await running.index()
        await running.filled()
        change = await running.app.models()
        with pytest.raises(InvalidRequest, match="384 dimensions"):
            await change.use(CHAT, WIDER)
        [status] = await change.list_spaces()
        assert (status.state.active, status.state.building) == (BGE, "")
        await asked_in_chat(running)


async def test_a_model_whose_files_vanish_costs_the_chat_answers_only(place: Path) -> None:
    folder = place / "home" / "models" / BGE
    folder.unlink()
    shutil.copytree(models.bge_small(), folder)
    async with engine(place) as running:
        await running.index()
        await running.filled()
        await asked_in_chat(running)
        shutil.rmtree(folder)
        (running.folder / "late.py").write_text("def late():\n    return 1\n")
        assert (await running.index()).state is RepositoryState.READY
        assert "chat" not in reasons(await running.search())
        shutil.copytree(models.bge_small(), folder)
    async with engine(place) as running:
        await running.index()
        await running.filled()
        await asked_in_chat(running)
        assert "late.py" in (await running.stored()).values()


async def test_an_engine_that_stops_while_it_fills_goes_on_where_it_was(place: Path) -> None:
    async with engine(place, part_files=1) as running:
        status = await running.index()
        await running.filled(0.2)
        done = len(await running.stored())
    async with engine(place, part_files=1) as running:
        running.repository = status.id
        await running.filled()
        chunks = definitions_below(place / "shop")
        assert len(await running.stored()) == chunks
        assert running.embedded[BGE] <= chunks - done


def test_status_shows_how_far_it_is(place: Path) -> None:
    folder = write_shop(place / "shop")
    env = environment(place / "home", NEARCODE_GENERATION__ADDRESS="127.0.0.1:9")
    process, addresses = start([*NEARCODE, "run", *WITHOUT_LANGUAGE_MODEL, "--json"], env, place / "run.log")
    try:
        running = Running(place / "home", env, addresses, [process])
        running.command("index", str(folder))
        wait_until(lambda: "chat 100%" in running.command("status").stdout, SECONDS, lambda: running.command("status").stdout)
    finally:
        stop(process)
