"""Credentials: the Secrets that resources refer to, copied into the one Secret that the engine mounts."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from nearcode.domain.errors import NearcodeError, Unavailable
from nearcode.telemetry.log import get_logger

from nearcode_operator import resources
from nearcode_operator.conditions import Fault, Reason
from nearcode_operator.indexing import Work
from nearcode_operator.model import Key
from nearcode_operator.ports import ClusterApi

log = get_logger(__name__)

_KNOWN_SECONDS = 60.0
"""How long a Secret is believed to hold what it held: a changed password reaches the engine that much later at most."""

_MISSING_SECONDS = 10.0
"""And that a missing one is missing."""


@dataclass(frozen=True, slots=True)
class _Read:
    values: Mapping[str, str] | None
    at: float


class Credentials:
    """Keeps the Secret `name` equal to what resources refer to. An empty name: this installation copies none."""

    def __init__(self, cluster: ClusterApi, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._name, self._clock = cluster, name, clock
        self._read: dict[str, _Read] = {}

    async def converge(self, works: Collection[Work]) -> dict[Key, Fault]:
        """Writes what differs. What is wrong, by resource; the others are not disturbed by it."""
        referred = {work.resource.credentials for work in works if work.resource.credentials}
        for secret in set(self._read) - referred - {self._name}:
            del self._read[secret]
        if not self._name:
            return {work.resource.key: _not_copied() for work in works if work.resource.credentials}
        looked = {secret: await self._found(secret) for secret in sorted(referred)}
        usable, faults = {}, {}
        for work in works:
            found = looked.get(work.resource.credentials, {})
            if isinstance(found, Fault):
                faults[work.resource.key] = found
            elif found:
                usable[work.repository] = found
        try:
            await self._write(resources.credentials(usable))
        except Unavailable:
            raise
        except NearcodeError as error:
            log.warning("credentials are not copied", error=error.message)
            told = Fault(Reason.SECRET_MISSING, f"its credentials are not copied: {error.message}")
            faults |= {work.resource.key: told for work in works if work.resource.credentials}
        return faults

    async def _found(self, secret: str) -> Mapping[str, str] | Fault:
        """The values of a Secret, or what is wrong with it. Raises Unavailable."""
        try:
            values = (await self._look(secret)).values
        except Unavailable:
            raise
        except NearcodeError as error:
            return Fault(Reason.SECRET_MISSING, error.message)
        return _fault(secret, values) or values or {}

    async def _write(self, wanted: Mapping[str, str]) -> None:
        have = (await self._look(self._name)).values or {}
        changes: dict[str, str | None] = {key: value for key, value in wanted.items() if have.get(key) != value}
        changes |= {key: None for key in have if key not in wanted}
        if changes:
            await self._cluster.write_secret(self._name, changes)
            self._read[self._name] = _Read(dict(wanted), self._clock())

    async def _look(self, secret: str) -> _Read:
        known = self._read.get(secret)
        patience = _KNOWN_SECONDS if known and known.values is not None else _MISSING_SECONDS
        if known is None or self._clock() - known.at >= patience:
            known = self._read[secret] = _Read(await self._cluster.secret(secret), self._clock())
        return known


def _fault(secret: str, values: Mapping[str, str] | None) -> Fault | None:
    if values is None:
        message = f"there is no Secret {secret} in this namespace: create it with a key `token`, or `username` and `password`"
        return Fault(Reason.SECRET_MISSING, message)
    if not (values.get("token") or values.get("password")):
        return Fault(Reason.SECRET_MISSING, f"Secret {secret} has neither a key `token` nor `password`: add one")
    return None


def _not_copied() -> Fault:
    message = "this installation copies no credentials: set credentials_secret in the operator's settings"
    return Fault(Reason.SECRET_MISSING, message)
