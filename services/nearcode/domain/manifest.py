"""The manifest of a repository: which revision is wanted, which one is served. Only compare-and-set moves it.

Points depend on a recipe: the program's way to cut files, and the collection with its model. Under another one the same commit
is wanted once more and all of it indexed anew, while the points of the served revision answer. Generations tell the two apart:
what is served was written by its generation or an earlier one, and nothing of it is written anew by a later one.

A collection that is filled behind has a manifest of its own for each repository: what it wants is the artifact of the
revision that is served, and what it serves is what it holds of that.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from nearcode.domain.policy import EVERYTHING, IndexPolicy
from nearcode.domain.repository import Progress, RepositoryState, RepositoryStatus
from nearcode.domain.spaces import Coverage


@dataclass(frozen=True, slots=True)
class Served:
    """The revision that is searched. `artifact` names it in the object store; `seconds`: from wanted until searchable;
    `failed`: files that should be indexed and are not."""

    generation: int
    commit: str
    artifact: str
    files: int
    chunks: int
    seconds: float
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """`generation` rises whenever the wanted commit changes, also back to an earlier one, and whenever other files of it are
    wanted. `retired` names artifacts whose points may have to be deleted: those of revisions that were served before or given
    up half built."""

    repository: str
    url: str
    name: str
    branch: str = ""
    generation: int = 0
    wanted: str = ""
    wanted_at: float = 0.0
    behind_since: float = 0.0
    """Unix time at which the oldest commit was wanted that is not served, or a later one; 0 when nothing is missing."""
    served: Served | None = None
    retired: tuple[str, ...] = ()
    error: str = ""
    fills: str = ""
    """The collection that is filled behind what is served; empty for the manifest of the repository itself."""
    policy: IndexPolicy = EVERYTHING
    recipe: str = ""
    """What the wanted revision is made with (domain/chunk.py); empty where a version made it that did not tell."""
    since: int = 0
    """The first generation of this recipe, until no point of an earlier one is left; else 0."""
    leaving: bool = False
    """Whether everything kept of it is being deleted, this manifest last."""

    @property
    def key(self) -> str:
        """Names the manifest in its store."""
        return manifest_key(self.repository, self.fills)

    @property
    def live(self) -> str:
        """The branch's name in points."""
        return self.branch or "workspace"

    @property
    def up_to_date(self) -> bool:
        """Whether the wanted revision is the one that is served."""
        return self.served is not None and self.served.generation == self.generation

    @property
    def settled(self) -> bool:
        """Whether nothing is being built and nothing of earlier revisions is left."""
        return not self.retired and not self.since and self.generation == (self.served.generation if self.served else 0)

    @property
    def one_recipe(self) -> bool:
        """Whether the served revision was made by the recipe of the wanted one."""
        return self.served is not None and self.served.generation >= self.since

    @property
    def oldest(self) -> int:
        """The first generation whose points the served revision may have."""
        return self.since if self.one_recipe else 0

    def want(self, commit: str, recipe: str = "") -> "Manifest":
        """Wants another commit, or the same by another recipe: the next generation. What was being built is given up."""
        made = recipe or self.recipe
        other = bool(self.generation) and made != self.recipe
        given_up = () if self.up_to_date else (draft_name(self),)
        retired = (*self.retired, *(name for name in given_up if self.generation))
        now = time.time()
        return replace(
            self,
            generation=self.generation + 1,
            wanted=commit,
            wanted_at=now,
            behind_since=self.behind_since or now,
            retired=retired,
            error="",
            recipe=made,
            since=self.generation + 1 if other else self.since,
            leaving=False,
        )

    def follow(self, policy: IndexPolicy) -> "Manifest":
        """Under another policy. Where it selects other files, the same commit is wanted once more."""
        changed = replace(self, policy=policy)
        return changed.want(self.wanted) if self.generation and policy.selection != self.policy.selection else changed

    def leave(self) -> "Manifest":
        """Serves and wants nothing from now on; what was kept for it retires. A generation of its own, so that whoever works
        on an earlier one stops."""
        error = "it is being disconnected; if this stays, disconnect it once more"
        wanted = replace(self.want(""), behind_since=0.0, leaving=True, served=None, error=error)
        return replace(wanted, retired=tuple(kept_names(self)))

    def serve(self, served: Served) -> "Manifest":
        """Serves a revision from now on; the one before retires."""
        retired = (*self.retired, self.served.artifact) if self.served else self.retired
        return replace(self, served=served, behind_since=0.0, retired=retired, error="")

    def status(self, progress: Progress | None = None, coverage: Sequence[Coverage] = ()) -> RepositoryStatus:
        served = self.served
        return RepositoryStatus(
            id=self.repository,
            url=self.url,
            name=self.name,
            branch=self.branch,
            state=self._state(),
            generation=self.generation,
            revision=served.commit if served else "",
            wanted=self.wanted,
            files=served.files if served else 0,
            chunks=served.chunks if served else 0,
            seconds=served.seconds if served else 0.0,
            error=self.error,
            progress=progress or Progress(),
            behind_since=self.behind_since,
            coverage=tuple(coverage),
            files_failed=served.failed if served else 0,
            policy=self.policy,
        )

    def _state(self) -> RepositoryState:
        if self.error:
            return RepositoryState.FAILED
        if self.up_to_date:
            return RepositoryState.READY
        return RepositoryState.INDEXING if self.generation else RepositoryState.CONNECTED

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> "Manifest":
        """From plain values, as the store keeps them: of an earlier version, which lack some, or of a later one, whose own are
        left out, as while one version replaces another."""
        known = _known(cls, values)
        served = Served(**_known(Served, values["served"])) if values["served"] else None
        policy = IndexPolicy.load(values["policy"]) if "policy" in values else EVERYTHING
        return cls(**{**known, "served": served, "retired": tuple(values["retired"]), "policy": policy})


def _known(cls: type[Served] | type[Manifest], values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}
    return {name: value for name, value in values.items() if name in names}


def manifest_key(repository: str, fills: str = "") -> str:
    """Names a manifest in its store."""
    return f"{repository}.{fills}" if fills else repository


def artifact_name(manifest: Manifest) -> str:
    """Where the artifact of the wanted revision is kept. Never the same again, also when the repository is disconnected and
    connected once more: artifacts are cached by name."""
    return f"{manifest.key}.{manifest.generation}-{int(manifest.wanted_at * 1e3):x}"


def kept_names(manifest: Manifest) -> list[str]:
    """Every artifact and draft that may be kept for a manifest, sorted."""
    served = (manifest.served.artifact,) if manifest.served else ()
    return sorted({artifact_name(manifest), draft_name(manifest), *manifest.retired, *served})


def draft_name(manifest: Manifest) -> str:
    """Where the plan of the revision that is being built is kept."""
    return f"{artifact_name(manifest)}.draft"


@dataclass(frozen=True, slots=True)
class Versioned:
    """A manifest with the version that the next compare-and-set must name."""

    manifest: Manifest
    version: int


class Manifests(Protocol):
    """Where manifests are kept. `fills` names a collection that is filled behind. All raise Unavailable."""

    async def get(self, repository: str, fills: str = "") -> Versioned | None: ...

    async def create(self, manifest: Manifest) -> None:
        """Raises Conflict if there is one."""
        ...

    async def update(self, manifest: Manifest, version: int) -> int:
        """Compare-and-set; returns the new version. Raises Conflict."""
        ...

    async def delete(self, repository: str, fills: str = "") -> None: ...

    async def all(self) -> list[Manifest]:
        """The repositories', ordered by name."""
        ...

    async def filled(self) -> list[Manifest]:
        """Those of every collection that is filled behind, of all repositories."""
        ...

    async def fills(self, repository: str) -> list[str]:
        """The collections that were filled for a repository, also those that nobody fills any more."""
        ...
