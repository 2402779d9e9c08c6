"""When which call is sent. Decided before the first is sent: an open loop does not wait for answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

COMPLETION, SEARCH, CHAT = "completion", "search", "chat"
KINDS = (COMPLETION, SEARCH, CHAT)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call: `at` seconds after the start of the run, the `item`-th question or place of its kind."""

    at: float
    kind: str
    item: int


def poisson(rate: float, seconds: float, mix: Mapping[str, float], seed: int) -> list[Arrival]:
    """Arrivals of a Poisson process with `rate` calls a second: many people who know nothing of each other, so that calls come
    in bunches. Kinds are drawn by their weights in `mix`; the same seed gives the same calls."""
    chance = random.Random(seed)
    kinds, weights = zip(*sorted(mix.items()), strict=True)
    arrivals, at = [], chance.expovariate(rate)
    while at < seconds:
        (kind,) = chance.choices(kinds, weights)
        arrivals.append(Arrival(at, kind, chance.randrange(2**31)))
        at += chance.expovariate(rate)
    return arrivals


def parse_weights(text: str) -> dict[str, float]:
    """`completion=70,search=20,chat=10` -> weights; those of kinds that are not named are 0. Raises ValueError."""
    weights = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() not in KINDS or float(value) < 0:
            raise ValueError(f"{part!r} is none of {', '.join(f'{kind}=NUMBER' for kind in KINDS)}")
        weights[name.strip()] = float(value)
    if not any(weights.values()):
        raise ValueError("all weights are 0")
    return weights
