"""Which model answers for an index space, in a JetStream key-value bucket; which collections hold all that is served."""

import json
import time

from nats.aio.client import Client
from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError

from nearcode.adapters.jetstream_errors import insist, nats_errors
from nearcode.adapters.jetstream_stores import bucket
from nearcode.domain.errors import Conflict
from nearcode.domain.manifest import Manifests
from nearcode.domain.spaces import SpaceState, VersionedState
from nearcode.events import topology

_FRESH_SECONDS = 2.0
"""How long an answer about a collection is believed."""
_MOST = 10_000


class KvSpaceStates:
    """Implements `domain.spaces.SpaceStates`: moved by compare-and-set only."""

    def __init__(self, client: Client) -> None:
        self._kv = bucket(client, topology.SPACES)

    async def get(self, space: str) -> VersionedState | None:
        try:
            entry = await insist(lambda: self._kv.get(space))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        return VersionedState(SpaceState.load(json.loads(entry.value or b"{}")), entry.revision or 0)

    async def create(self, state: SpaceState) -> None:
        with nats_errors():
            try:
                await self._kv.create(state.space, _encode(state))
            except KeyWrongLastSequenceError as error:
                raise Conflict(f"the {state.space} space has a model already") from error

    async def update(self, state: SpaceState, version: int) -> int:
        with nats_errors():
            try:
                return await self._kv.update(state.space, _encode(state), last=version)
            except KeyWrongLastSequenceError as error:
                raise Conflict(f"the model of the {state.space} space was changed meanwhile") from error


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
