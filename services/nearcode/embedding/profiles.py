"""Model profiles by name. Which model embeds is data, see profiles.toml."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.domain.index import ModelProfile

_OF_PROFILE = (
    "dimensions", "static", "pooling", "max_tokens", "query_prefix", "document_prefix", "split_identifiers",
)  # fmt: skip
"""What a model needs at work; the rest of an entry says where it comes from."""


def profile(name: str) -> ModelProfile:
    """The profile of that name. Raises InvalidRequest(INVALID_SETTING)."""
    found = entry(name)
    return ModelProfile(name, **{key: found[key] for key in _OF_PROFILE if key in found})


def names() -> tuple[str, ...]:
    """Every profile's name, in the file's order."""
    return tuple(_profiles())


def entry(name: str) -> dict[str, Any]:
    """All that profiles.toml says of a model. Raises InvalidRequest(INVALID_SETTING)."""
    found = _profiles().get(name)
    if found is None:
        raise InvalidRequest(
            f"no embedding model profile {name!r}; known: {', '.join(sorted(names()))}",
            Reason.INVALID_SETTING,
            "embedding.profile",
        )
    return found


@cache
def _profiles() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("nearcode.embedding").joinpath("profiles.toml").read_text("utf-8"))
