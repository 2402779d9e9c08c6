"""What of a repository is indexed, and for which index spaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from nearcode.domain.errors import InvalidRequest
from nearcode.domain.spaces import CHAT, COMPLETION

SPACES = (COMPLETION, CHAT)
_MOST_PATTERNS = 200
_LONGEST_PATTERN = 500
"""Characters. A manifest carries the policy, and every path is held against every pattern."""


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """`include` and `exclude`: patterns in the syntax of .gitignore; without `include` everything is indexed, what `exclude`
    names never is. `largest_file`: bytes; 0 means the server's limit, which also is the most. `spaces`: index spaces; empty
    means all that the installation has, and `completion` always is one of them."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    largest_file: int = 0
    spaces: tuple[str, ...] = ()

    @property
    def selection(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
        """What decides which files are indexed: where it is equal, no file has to be looked at again."""
        return self.include, self.exclude, self.largest_file

    def wants(self, space: str) -> bool:
        """Whether the repository is to be in an index space."""
        return space == COMPLETION or not self.spaces or space in self.spaces

    def check(self) -> None:
        """Raises InvalidRequest. Whether a pattern can be read is for whoever reads patterns to say."""
        for field in ("include", "exclude"):
            patterns = getattr(self, field)
            if len(patterns) > _MOST_PATTERNS:
                raise InvalidRequest(f"{len(patterns)} patterns; at most {_MOST_PATTERNS}", field=f"policy.{field}")
            if long := next((pattern for pattern in patterns if len(pattern) > _LONGEST_PATTERN), ""):
                message = f"a pattern has {len(long)} characters; at most {_LONGEST_PATTERN}"
                raise InvalidRequest(message, field=f"policy.{field}")
        if self.largest_file < 0:
            message = f"largest_file is bytes, or 0 for the server's limit, and not {self.largest_file}"
            raise InvalidRequest(message, field="policy.largest_file")
        if unknown := [space for space in self.spaces if space not in SPACES]:
            message = f"{unknown[0]!r} is no index space; there are: {', '.join(SPACES)}"
            raise InvalidRequest(message, field="policy.spaces")

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, as the store keeps them."""
        return cls(tuple(values["include"]), tuple(values["exclude"]), values["largest_file"], tuple(values["spaces"]))


EVERYTHING = IndexPolicy()
"""Of a repository that nobody said anything of."""
