"""Index spaces and the model that answers for each. Another is filled beside, swapped in at once, and can be rolled back."""

from __future__ import annotations  # numpy, which the index ports name, is not needed here

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from nearcode.domain.errors import Conflict, Reason

if TYPE_CHECKING:
    from nearcode.domain.index import ChunkIndex, Embedder

COMPLETION, CHAT = "completion", "chat"
"""The space that every search uses and completions need at once (static model), and the one for questions (transformer)."""


def collection_key(space: str, profile: str) -> str:
    """Names a collection: the points of a space under one model. A subject token and a folder's name."""
    return f"{space}-{profile}"


def split_collection(collection: str) -> tuple[str, str]:
    """The space and the model profile of a collection."""
    space, _, profile = collection.partition("-")
    return space, profile


@dataclass(frozen=True, slots=True)
class SpaceState:
    """Which model profile answers for a space (`active`), which one is filled beside it (`building`), and which one answered
    before (`previous`), whose points are kept up to date until the next change, so that a roll-back costs nothing."""

    space: str
    active: str
    building: str = ""
    previous: str = ""

    def use(self, profile: str) -> SpaceState:
        """Begins to fill another model's collection. Raises Conflict when another one is being filled."""
        if self.building not in ("", profile):
            raise Conflict(f"{self.building} is being filled: wait for it, or `nearcode models abandon`", Reason.SPACE_BUSY)
        if profile == self.active:
            return replace(self, building="")
        if profile == self.previous:
            return replace(self, building=profile, previous="")
        return replace(self, building=profile)

    def swap(self) -> SpaceState:
        """The filled model answers from now on. Raises Conflict when none is."""
        if not self.building:
            raise Conflict("no other model is being filled: begin with `nearcode models use`", Reason.SPACE_BUSY)
        return replace(self, active=self.building, building="", previous=self.active)

    def roll_back(self) -> SpaceState:
        """The model before answers again. Raises Conflict when there is none."""
        if not self.previous:
            raise Conflict(f"no model was used before {self.active} in the {self.space} space", Reason.SPACE_BUSY)
        return replace(self, active=self.previous, previous=self.active)

    def abandon(self) -> SpaceState:
        """Gives up what is being filled."""
        return replace(self, building="")

    @property
    def roles(self) -> dict[str, str]:
        """Every model whose collection is kept up to date, by its role."""
        roles = {"active": self.active, "building": self.building, "previous": self.previous}
        return {role: profile for role, profile in roles.items() if profile}

    @property
    def profiles(self) -> tuple[str, ...]:
        """These models."""
        return tuple(self.roles.values())

    def dump(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> SpaceState:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class VersionedState:
    """A state with the version that the next compare-and-set must name."""

    state: SpaceState
    version: int


class SpaceStates(Protocol):
    """Where the states are kept. All raise Unavailable."""

    async def get(self, space: str) -> VersionedState | None: ...

    async def create(self, state: SpaceState) -> None:
        """Raises Conflict if there is one."""
        ...

    async def update(self, state: SpaceState, version: int) -> int:
        """Compare-and-set; returns the new version. Raises Conflict."""
        ...


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far a collection of a repository follows what is served. `role` is active, building or previous."""

    space: str
    profile: str
    role: str
    files_done: int
    files_total: int
    error: str = ""

    @property
    def ratio(self) -> float:
        """0 to 1; a repository without files is covered."""
        return self.files_done / self.files_total if self.files_total else 1.0


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """A space's models, and how far each collection that is filled behind has come, over all repositories."""

    state: SpaceState
    coverage: tuple[Coverage, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models, asked the same questions: mean reciprocal rank of the right file among the first ten, and the mean share of
    the first ten that both give."""

    questions: int
    active_profile: str
    other_profile: str
    active: float
    other: float
    agreement: float


class Models(Protocol):
    """Tells and changes which model answers. Raise Conflict, InvalidRequest, NotFound, Unavailable."""

    async def list_spaces(self) -> list[SpaceStatus]: ...

    async def use(self, space: str, profile: str) -> SpaceStatus: ...

    async def swap(self, space: str) -> SpaceStatus: ...

    async def roll_back(self, space: str) -> SpaceStatus: ...

    async def abandon(self, space: str) -> SpaceStatus: ...

    async def compare(self, space: str, questions: int) -> Comparison: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A collection with the model that its points were made with: whoever asks it embeds the question with that model."""

    index: ChunkIndex
    embedder: Embedder


async def _never(repository: str, collection: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class View:
    """The collections that answer now. A question takes one view and keeps it, so that no answer mixes two models.
    `whole(repository, collection)`: whether a collection that is filled behind holds all that the repository serves."""

    completion: Opened
    chat: Opened | None = None
    whole: Callable[[str, str], Awaitable[bool]] = _never


class Views(Protocol):
    """Gives the view of this moment. Raises Unavailable."""

    async def view(self) -> View: ...


class Collections(Protocol):
    """Opens collections by key, each once."""

    async def index(self, collection: str) -> ChunkIndex:
        """Raises Conflict, InvalidRequest, Unavailable."""
        ...
