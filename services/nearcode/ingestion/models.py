"""Which model answers for a space: tell it, fill another one beside, swap, roll back."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from nearcode.domain.errors import Conflict, NotFound, Reason
from nearcode.domain.manifest import Manifest
from nearcode.domain.principal import Principal
from nearcode.domain.spaces import (
    CHAT,
    Comparison,
    Coverage,
    Opened,
    SpaceState,
    SpaceStates,
    SpaceStatus,
    VersionedState,
    collection_key,
)
from nearcode.ingestion.comparison import compare
from nearcode.ingestion.filling import Filler

_SPACES = (CHAT,)
"""Spaces that are filled behind, whose model can be changed."""


@dataclass(frozen=True, slots=True)
class SpaceModels:
    """Implements domain.spaces.Models. `opened(space, profile)` opens a collection and its model, and raises what is wrong
    with them; `changed(space)` tells every process."""

    states: SpaceStates
    filler: Filler
    opened: Callable[[str, str], Awaitable[Opened]]
    changed: Callable[[str], Awaitable[None]]

    async def list_spaces(self) -> list[SpaceStatus]:
        found = [await self.states.get(space) for space in _SPACES]
        return [await self._status(one.state) for one in found if one]

    async def use(self, space: str, profile: str) -> SpaceStatus:
        """Begins to fill another model's collection; again goes on with it. Raises what is wrong with the model, before
        anything has changed, and Conflict."""
        await self.opened(space, profile)
        return await self._change(space, lambda state: state.use(profile))

    async def swap(self, space: str) -> SpaceStatus:
        """The filled model answers from now on. Raises Conflict while it is not filled."""
        state = await self._state(space)
        if state.building:
            total = _total([one for one in await self._coverage(state) if one.role == "building"])
            if total.ratio < 1.0 or total.error:
                why = total.error or f"{total.files_done} of {total.files_total} files"
                raise Conflict(f"{state.building} is not filled yet: {why}", Reason.SPACE_BUSY)
        status = await self._change(space, SpaceState.swap)
        if state.previous and state.previous not in status.state.profiles:
            await self._forget(space, state.previous)
        return status

    async def roll_back(self, space: str) -> SpaceStatus:
        """The model before answers again: its collection was kept up to date. Raises Conflict."""
        return await self._change(space, SpaceState.roll_back)

    async def abandon(self, space: str) -> SpaceStatus:
        """Gives up what is being filled, and deletes it."""
        given_up = (await self._state(space)).building
        status = await self._change(space, SpaceState.abandon)
        if given_up and given_up not in status.state.profiles:
            await self._forget(space, given_up)
        return status

    async def compare(self, space: str, questions: int) -> Comparison:
        """Asks the model that answers and the one that is filled beside, or else the one before. Raises Conflict."""
        state = await self._state(space)
        other = state.building or state.previous
        if not other:
            raise Conflict(f"the {space} space has one model: there is nothing to compare", Reason.SPACE_BUSY)
        scope = Principal("", 0, frozenset(each.repository for each in await self._repositories())).scope()
        return await compare(await self.opened(space, state.active), await self.opened(space, other), scope, questions)

    async def _found(self, space: str) -> VersionedState:
        found = await self.states.get(space) if space in _SPACES else None
        if found is None:
            raise NotFound(f"no {space} space whose model can be changed; there is: chat, once its model is here")
        return found

    async def _state(self, space: str) -> SpaceState:
        return (await self._found(space)).state

    async def _change(self, space: str, change: Callable[[SpaceState], SpaceState]) -> SpaceStatus:
        while True:
            found = await self._found(space)
            state = change(found.state)
            if state == found.state:
                break
            try:
                await self.states.update(state, found.version)
                break
            except Conflict:
                continue  # another process was faster: what is wanted may not be allowed any more
        await (await self.filler.open_index(collection_key(space, state.active))).publish_alias()
        await self.changed(space)
        for manifest in await self._repositories():
            await self.filler.want(manifest.repository)
        return await self._status(state)

    async def _forget(self, space: str, profile: str) -> None:
        for manifest in await self._repositories():
            await self.filler.forget(manifest.repository, collection_key(space, profile))

    async def _repositories(self) -> list[Manifest]:
        return await self.filler.stores.manifests.all()

    async def _status(self, state: SpaceState) -> SpaceStatus:
        by_role: dict[str, list[Coverage]] = defaultdict(list)
        for one in await self._coverage(state):
            by_role[one.role].append(one)
        return SpaceStatus(state, tuple(map(_total, by_role.values())))

    async def _coverage(self, state: SpaceState) -> list[Coverage]:
        covered = await self.filler.coverages(await self._repositories())
        return [one for of_repository in covered for one in of_repository if one.space == state.space]


def _total(coverage: Sequence[Coverage]) -> Coverage:
    """Of all repositories together; empty when there are none."""
    if not coverage:
        return Coverage("", "", "", 0, 0)
    done, total = sum(one.files_done for one in coverage), sum(one.files_total for one in coverage)
    error = next((one.error for one in coverage if one.error), "")
    return replace(coverage[0], files_done=done, files_total=total, error=error)
