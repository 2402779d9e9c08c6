"""Generator model profiles: what must be known of a model to prompt it. The data is `profiles.toml`."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

from nearcode.domain.errors import InvalidRequest, Reason


@dataclass(frozen=True, slots=True)
class Profile:
    """A model family. Empty `cursor`: no fill-in-the-middle; empty `snippet`: context goes into comments.

    `context_tokens` is what the model can hold, `affordable_tokens` the longest prompt worth its time. An untrusted
    model's words are not shown in chat.
    """

    name: str
    match: tuple[str, ...]
    licence: str
    context_tokens: int
    affordable_tokens: int
    completion_tokens: int
    chars_per_token: float
    prompt_tokens_per_second: float
    generated_tokens_per_second: float
    stop: tuple[str, ...]
    trusted: bool = True
    chat: bool = True
    cursor: str = ""
    snippet: str = ""
    repository: str = ""

    @property
    def fills_in_the_middle(self) -> bool:
        """Whether the family was trained to write between a prefix and a suffix."""
        return bool(self.cursor)


@cache
def load_profiles() -> tuple[Profile, ...]:
    """The profiles of `profiles.toml`, in the order they are tried."""
    text = resources.files(__package__).joinpath("profiles.toml").read_text(encoding="utf-8")
    return tuple(
        Profile(**{**entry, "match": tuple(entry["match"]), "stop": tuple(entry["stop"])})
        for entry in tomllib.loads(text)["profile"]
    )


def choose(model: str, forced: str = "", profiles: Sequence[Profile] | None = None) -> Profile:
    """The profile of a served model by its id, or the one named `forced`. Raises InvalidRequest for an unknown name."""
    known = load_profiles() if profiles is None else profiles
    if forced:
        for profile in known:
            if profile.name == forced:
                return profile
        names = ", ".join(profile.name for profile in known)
        raise InvalidRequest(
            f"generation.profile {forced!r} is not one of: {names}", Reason.INVALID_SETTING, "generation.profile"
        )
    name = model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].lower()
    for profile in known:
        if any(fnmatchcase(name, pattern) for pattern in profile.match):
            return profile
    raise InvalidRequest(f"no profile matches the model {model!r}", Reason.INVALID_SETTING, "generation.profile")
