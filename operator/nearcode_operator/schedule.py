"""When a repository is looked at next: cron, each resource at a moment of its own."""

import hashlib
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from nearcode.domain.errors import InvalidRequest

SPREAD = timedelta(minutes=15)
"""The most by which a resource comes later than its schedule says. Within it, and within the schedule's period, resources are
spread evenly: 1,000 that say `0 3 * * *` make one fetch a second, not 1,000 at once."""

_CURE = "write minute, hour, day of month, month and day of week in UTC, for example */5 * * * *"


class ImpossibleSchedule(InvalidRequest):
    """A schedule that cannot be read, or that never comes."""


def check(expression: str) -> None:
    """Raises ImpossibleSchedule with what is wrong."""
    _ticks(expression, datetime(2000, 1, 1, tzinfo=UTC))


def next_time(expression: str, uid: str, after: datetime) -> datetime:
    """The first time after `after` at which the resource `uid` is due. Raises ImpossibleSchedule."""
    raise NotImplementedError


def due(expression: str, uid: str, last: datetime | None, now: datetime) -> bool:
    """Whether its time has come since `last`, when it was looked at last (None: never). Raises ImpossibleSchedule."""
    return last is None or next_time(expression, uid, last) <= now


def _ticks(expression: str, after: datetime) -> CronSim:
    raise NotImplementedError
