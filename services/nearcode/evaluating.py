"""Evaluation put together: what is asked, an index of its own, and answers. Nothing of the user's index is touched, and no
engine need run."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nearcode.domain.errors import Reason, Unavailable
from nearcode.domain.principal import Principal
from nearcode.domain.repository import RepositoryState, RepositoryStatus
from nearcode.domain.retrieval import Snippet
from nearcode.domain.spaces import CHAT
from nearcode.evaluation.asking import Answer, Asking
from nearcode.evaluation.documentation import hide
from nearcode.evaluation.results import Evaluated, Evaluation
from nearcode.own_code import Plan, Subject, Tell

if TYPE_CHECKING:
    from nearcode.app import App
    from nearcode.settings import Settings

_TARGETS = ("ingestion", "chunking", "embedding", "retrieval")
_POLL = 0.05
"""Seconds between two looks at an index that is being made."""


async def evaluate(settings: "Settings", plan: Plan, subjects: Sequence[Subject], tell: Tell) -> Evaluation:
    """Indexes each repository by itself, without what its questions hide, and asks them in every index space.

    Raises Unavailable, with a reason."""
    _require_model(settings, plan)
    evaluated = []
    for subject in subjects:
        with tempfile.TemporaryDirectory(prefix="nearcode-eval-") as scratch:
            code = Path(scratch, "code", subject.name.replace("/", "_"))
            await asyncio.to_thread(write, code, hide(subject.files, subject.questions))
            for space in plan.spaces:
                async with _engine(_scratch(settings, Path(scratch), space)) as app:
                    evaluated.append(await _evaluate(app, code, subject, space, plan.everything, tell))
    return Evaluation(version("nearcode"), _changed(settings), tuple(evaluated))


def _require_model(settings: "Settings", plan: Plan) -> None:
    """Raises Unavailable before anything is indexed in vain."""
    from nearcode.embedding.sources import model_folder

    chat = settings.embedding.chat
    if CHAT in plan.spaces and not (chat.url or model_folder(chat.profile, settings.home, chat.folder)):
        raise Unavailable(f"the chat space has no model: `nearcode models pull {chat.profile}`", Reason.MODEL_MISSING)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files by their paths."""
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _scratch(settings: "Settings", folder: Path, space: str) -> "Settings":
    """The user's settings, with stores of their own, and with the chat space if that is asked for."""
    from nearcode.embedding.sources import model_folder
    from nearcode.settings import EventsSettings, IndexSettings

    chat = settings.embedding.chat
    weights = model_folder(chat.profile, settings.home, chat.folder)
    changed = chat.model_copy(update={"enabled": "on" if space == CHAT else "off", "folder": weights})
    home = {"home": folder / "home", "log_dir": folder / "logs", "events": EventsSettings(), "index": IndexSettings()}
    embedding = settings.embedding.model_copy(update={"chat": changed})
    return settings.model_copy(update={**home, "embedding": embedding})


def _changed(settings: "Settings") -> dict[str, str]:
    """Settings of retrieval and embedding that differ from the defaults."""
    from nearcode.embedding.settings import EmbeddingSettings
    from nearcode.retrieval.settings import RetrievalSettings

    found: dict[str, str] = {}
    for name, branch, default in (
        ("retrieval", settings.retrieval, RetrievalSettings()),
        ("embedding", settings.embedding, EmbeddingSettings()),
    ):
        values, defaults = branch.model_dump(mode="json"), default.model_dump(mode="json")
        found |= {f"{name}.{key}": str(value) for key, value in values.items() if value != defaults[key]}
    return found


@asynccontextmanager
async def _engine(settings: "Settings") -> "AsyncIterator[App]":
    from nearcode.app import App
    from nearcode.telemetry.settings import TelemetrySettings
    from nearcode.telemetry.setup import setup

    settings.log_dir.mkdir(parents=True, exist_ok=True)
    telemetry = setup(TelemetrySettings(spans="off"), "nearcode-eval", settings.log_dir, settings.log_dir / "engine.log")
    try:
        async with App(settings, _TARGETS) as app:
            await app.warm()
            await app.start_workers()
            yield app
    finally:
        await asyncio.to_thread(telemetry.shutdown)


async def _evaluate(app: "App", code: Path, subject: Subject, space: str, everything: bool, tell: Tell) -> Evaluated:
    began = time.perf_counter()
    status = await _indexed(app, code, subject.name, space == CHAT, tell)
    seconds = time.perf_counter() - began
    scope = Principal("evaluation", 0, frozenset([status.id])).scope()
    asking = Asking(await app.retriever(), scope, subject.files, fit, everything)
    answers: list[Answer] = []
    for number, question in enumerate(subject.questions):
        tell(f"asking {subject.name}, {space}", number, len(subject.questions))
        answers.append(await asking.answer(question))
    return Evaluated(subject.name, space, status.files, status.chunks, seconds, tuple(answers), subject.unfit)


def fit(snippets: Sequence[Snippet], tokens: int) -> list[Snippet]:
    """What a prompt with room for so many tokens gets."""
    from nearcode.retrieval.budget import cut

    return cut(snippets, tokens)[0]


async def _indexed(app: "App", code: Path, name: str, chat: bool, tell: Tell) -> RepositoryStatus:
    """Waits until a folder is searchable, in the chat space, too, if `chat`. Raises Unavailable."""
    ingestion = await app.local_ingestion()
    repository = (await ingestion.connect(code.as_uri())).id
    await ingestion.sync(repository)
    while True:
        status = await ingestion.get(repository)
        error = status.error or next((one.error for one in status.coverage if one.error), "")
        if error or status.state is RepositoryState.FAILED:
            raise Unavailable(f"{name} cannot be indexed: {error or 'see the log'}", Reason.INDEX_UNAVAILABLE)
        covered = sum(one.files_done for one in status.coverage), sum(one.files_total for one in status.coverage)
        if status.state is RepositoryState.READY and (not chat or (status.coverage and covered[0] == covered[1])):
            return status
        ready = status.state is RepositoryState.READY
        done = covered if ready else (status.progress.files_done, status.progress.files_total)
        tell(f"indexing {name}{', chat' if ready else ''}", *done)
        await asyncio.sleep(_POLL)
