"""The figures of one run, from the outcomes of its calls."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.outcomes import ERROR, MISSED, OK, REFUSED, Outcome

WORST_LAG_SECONDS = 0.025
"""A generator that is later than this in one call of twenty no longer offers what it says."""
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank); NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def percentiles(values: Sequence[float], scale: float = 1.0) -> dict[str, float | None]:
    """p50, p95 and p99, None of nothing: JSON knows no NaN."""
    return {name: round(percentile(values, share) * scale, 2) if values else None for name, share in SHARES.items()}


@dataclass(slots=True)
class Run:
    """One run at one offered rate. Rates are calls a second, times milliseconds but for `seconds`."""

    admission: bool
    factor: float
    rate: float
    seconds: float
    offered: float
    goodput: float
    full: float
    ended: dict[str, int]
    kinds: dict[str, dict[str, Any]]
    stages: dict[str, dict[str, float | None]]
    refusal: dict[str, float | None]
    errors: dict[str, int]
    lag: dict[str, float | None]
    valid: bool
    freshness: dict[str, Any] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Goodput as a share of what was offered; of nothing, all."""
        return self.goodput / self.offered if self.offered else 1.0


def run_figures(outcomes: Sequence[Outcome], *, rate: float, seconds: float, admission: bool, factor: float) -> Run:
    """Counts what became of the calls of a run. Latencies are those of accepted calls that were answered in time."""
    counts = Counter(outcome.ended for outcome in outcomes)
    stages: defaultdict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        for name, spent in outcome.stages.items():
            stages[name].append(spent)
    lags = [outcome.lag for outcome in outcomes]
    return Run(
        admission=admission,
        factor=factor,
        rate=round(rate, 2),
        seconds=seconds,
        offered=round(len(outcomes) / seconds, 2),
        goodput=round(sum(outcome.good for outcome in outcomes) / seconds, 2),
        full=round(sum(outcome.full for outcome in outcomes) / seconds, 2),
        ended={how: counts[how] for how in (OK, REFUSED, MISSED, ERROR)},
        kinds={kind: _kind([one for one in outcomes if one.kind == kind]) for kind in sorted({one.kind for one in outcomes})},
        stages={name: percentiles(spent) for name, spent in sorted(stages.items())},
        refusal=percentiles([outcome.seconds - outcome.lag for outcome in outcomes if outcome.ended == REFUSED], 1e3),
        errors=dict(Counter(outcome.code for outcome in outcomes if outcome.ended == ERROR)),
        lag=percentiles(lags, 1e3),
        valid=not lags or percentile(lags, 0.95) <= WORST_LAG_SECONDS,
    )


def _kind(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    answered = [outcome for outcome in outcomes if outcome.ended == OK]
    plans = Counter(f"{one.plan} ({one.degraded})" if one.degraded else one.plan for one in answered)
    return {
        "deadline": outcomes[0].deadline,
        "offered": len(outcomes),
        "good": sum(outcome.good for outcome in outcomes),
        "full": sum(outcome.full for outcome in outcomes),
        "with_text": sum(outcome.characters > 0 for outcome in answered),
        "refused": sum(outcome.ended == REFUSED for outcome in outcomes),
        "missed": sum(outcome.ended == MISSED for outcome in outcomes),
        "latency": percentiles([outcome.seconds for outcome in answered], 1e3),
        "first_message": percentiles([outcome.first for outcome in answered if outcome.first], 1e3),
        "plans": dict(plans.most_common()),
    }
