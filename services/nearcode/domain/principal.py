"""Who asks, and what he may read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller with the repositories he may read, as of version `epoch` of his permissions."""

    user: str
    epoch: int
    repositories: frozenset[str]

    def scope(self, requested: Iterable[str] = ()) -> "Scope":
        """Narrows to `requested` repositories; nothing requested means all readable. What may not be read falls away."""
        wanted = frozenset(requested)
        return Scope(self, self.repositories & wanted if wanted else self.repositories)


@dataclass(frozen=True, slots=True)
class Scope:
    """The repositories that one question may touch. Made by `Principal.scope` only; every store function requires one."""

    principal: Principal
    repositories: frozenset[str]

    def __post_init__(self) -> None:
        if not self.repositories <= self.principal.repositories:
            raise AssertionError("a scope never exceeds its principal")


class Access(Protocol):
    """Answers what a user may read now."""

    async def principal(self, user: str) -> Principal: ...
