"""What the commands reach beyond the terminal. Nothing heavy is imported before a command needs it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from nearcode.domain.assistant import Assistant, Repositories
from nearcode.domain.spaces import Models

if TYPE_CHECKING:
    from nearcode.embedding.sources import ModelEntry
    from nearcode.indexing_job import Tell
    from nearcode.settings import Settings

Ready = Callable[[dict[str, str]], None]
"""Told once where the engine listens: addresses by name."""


class Client(Protocol):
    """An engine: the one that runs on this home, or one started for this command."""

    @property
    def assistant(self) -> Assistant: ...

    @property
    def repositories(self) -> Repositories: ...

    @property
    def models(self) -> Models: ...

    @property
    def user(self) -> str: ...

    async def warm_model(self) -> None:
        """Returns when the language model is loaded, so that a deadline does not pay for it."""
        ...


class Check(Protocol):
    """A dependency as `doctor` found it; `todo` says what to do if it is not healthy."""

    @property
    def name(self) -> str: ...

    @property
    def found(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def healthy(self) -> bool: ...

    @property
    def todo(self) -> str: ...


class DeadLetter(Protocol):
    """A message that was given up after its last retry."""

    @property
    def id(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def event(self) -> str: ...

    @property
    def repository(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def error(self) -> str: ...

    @property
    def when(self) -> object: ...

    @property
    def deliveries(self) -> int: ...


class DeadLetters(Protocol):
    """The quarantine."""

    async def list(self) -> Sequence[DeadLetter]: ...

    async def replay(self, ids: Sequence[str] | None) -> int:
        """Sends messages to where they came from; None: all of them. Returns how many."""
        ...


@dataclass
class Program:
    """The engine as the commands see it; the global options choose its settings."""

    config: Path | None = None
    home: Path | None = None

    def settings(self, changes: Mapping[str, object] = MappingProxyType({})) -> "Settings":
        """The settings of this run, with changes for one command. Raises InvalidRequest."""
        from nearcode import settings

        home: Mapping[str, object] = {"home": self.home} if self.home else {}
        return settings.load(self.config, {**changes, **home})

    def home_dir(self) -> Path:
        """The folder that everything lives in."""
        return self.settings().home

    def log_dir(self) -> Path:
        """The folder of the log files."""
        return self.settings().log_dir

    def dump(self, diff: bool) -> str:
        """The settings as TOML; `diff`: only what differs from the defaults."""
        from nearcode import settings

        return settings.dump(self.settings(), diff)

    def models(self) -> "Sequence[ModelEntry]":
        """The embedding models, and where their weights are."""
        from nearcode.embedding.sources import listed

        settings = self.settings()
        chat = settings.embedding.chat
        return listed(settings.home, {chat.profile: chat.folder} if chat.folder else {})

    def pull_model(self, name: str, tell: Callable[[int, int], None], given: Path | None) -> Path:
        """Fetches a model's weights, or takes them from `given`; `tell` is told how many bytes of how many are here."""
        from nearcode.embedding.pulling import pull

        return pull(name, self.settings().home, tell, given)

    def client(self) -> AbstractAsyncContextManager[Client]:
        """A running engine on this home, or one for the time of the command."""
        from nearcode import engine

        return engine.client(self.settings())

    async def run(self, targets: Sequence[str], ready: Ready) -> None:
        """Runs services until SIGTERM or SIGINT."""
        from nearcode import engine

        await engine.run(self.settings(), targets, ready)

    async def work(self, repository: str, generation: int, ready: Ready, tell: "Tell") -> str:
        """Works on a repository's backlog until it is done; empty when this process was asked to end before."""
        from nearcode import engine

        return await engine.work(self.settings(), repository, generation, ready, tell)

    async def doctor(self) -> Sequence[Check]:
        """Looks at every dependency."""
        from nearcode import doctor

        return await doctor.examine(self.settings())

    def dead_letters(self) -> AbstractAsyncContextManager[DeadLetters]:
        """The quarantine of this home."""
        from nearcode import engine

        return engine.dead_letters(self.settings())
