"""Which model answers for an index space, in a JetStream key-value bucket; which collections hold all that is served."""

import json
import time

from nats.aio.client import Client

from nearcode.adapters.jetstream_stores import ComparedBucket
from nearcode.domain.manifest import Manifests
from nearcode.domain.spaces import SpaceState, VersionedState
from nearcode.events import topology

_FRESH_SECONDS = 2.0
"""How long an answer about a collection is believed."""
_MOST = 10_000


class KvSpaceStates:
    """Implements `domain.spaces.SpaceStates`: moved by compare-and-set only."""

    def __init__(self, client: Client) -> None:
        self._entries = ComparedBucket(client, topology.SPACES)

    async def get(self, space: str) -> VersionedState | None:
        found = await self._entries.get(space)
        return VersionedState(SpaceState.load(json.loads(found[0])), found[1]) if found else None

    async def create(self, state: SpaceState) -> None:
        await self._entries.create(state.space, _encode(state), f"the {state.space} space has a model already")

    async def update(self, state: SpaceState, version: int) -> int:
        conflict = f"the model of the {state.space} space was changed meanwhile"
        return await self._entries.update(state.space, _encode(state), version, conflict)


class FilledCollections:
    """Tells whether a collection holds all that a repository serves."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        self._known: dict[tuple[str, str], tuple[float, bool]] = {}

    async def whole(self, repository: str, collection: str) -> bool:
        """As it was two seconds ago at most. Raises Unavailable."""
        asked, whole = self._known.get((repository, collection), (-_FRESH_SECONDS, False))
        if time.monotonic() - asked >= _FRESH_SECONDS:
            main = await self._manifests.get(repository)
            fill = await self._manifests.get(repository, collection)
            served = main.manifest.served if main else None
            whole = bool(served and fill and fill.manifest.up_to_date and fill.manifest.wanted == served.artifact)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[repository, collection] = time.monotonic(), whole
        return whole


def _encode(state: SpaceState) -> bytes:
    return json.dumps(state.dump(), sort_keys=True).encode()
