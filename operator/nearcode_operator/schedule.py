"""When a repository is looked at next: cron, each resource at a moment of its own."""

import hashlib
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError
from nearcode.domain.errors import InvalidRequest

SPREAD = timedelta(minutes=15)
"""The most by which a resource comes later than its schedule says. Within it, and within the schedule's period, resources are
spread evenly: 1,000 that say `0 3 * * *` make about one fetch a second, not 1,000 at once."""

_FIELDS = {"minute": "0-59", "hour": "0-23", "day-of-month": "1-31", "month": "1-12", "day-of-week": "0-7"}
_CURE = "write minute, hour, day of month, month and day of week in UTC, for example */5 * * * *"
_SECOND = timedelta(seconds=1)


class ImpossibleSchedule(InvalidRequest):
    """A schedule that cannot be read, or that never comes."""

    def __init__(self, expression: str, wrong: str) -> None:
        super().__init__(f"schedule {expression[:100]!r}: {wrong}; {_CURE}", field="spec.schedule")


def check(expression: str) -> None:
    """Raises ImpossibleSchedule with what is wrong."""
    _tick(expression, datetime(2000, 1, 1, tzinfo=UTC))


def next_time(expression: str, uid: str, after: datetime) -> datetime:
    """The first time after `after` at which the resource `uid` is due. Raises ImpossibleSchedule."""
    try:
        begun = _tick(
            expression, after + _SECOND, reverse=True
        )  # the schedule's last time up to now, which may be still to come here
    except ImpossibleSchedule:
        begun = _tick(expression, after)  # there was none within living memory
    following = _tick(expression, begun)
    own = begun + _delay(uid, following - begun)
    if own > after:
        return own
    return following + _delay(uid, _tick(expression, following) - following)


def due(expression: str, uid: str, last: datetime | None, now: datetime) -> bool:
    """Whether its time has come since `last`, when it was looked at last (None: never). Raises ImpossibleSchedule."""
    return last is None or next_time(expression, uid, last) <= now


def _delay(uid: str, period: timedelta) -> timedelta:
    share = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) / 2**32
    return timedelta(seconds=int(share * min(period, SPREAD).total_seconds()))


def _tick(expression: str, moment: datetime, reverse: bool = False) -> datetime:
    """The schedule's time next to `moment`."""
    if (given := len(expression.split())) != len(_FIELDS):
        raise ImpossibleSchedule(expression, f"it has {given} field{'' if given == 1 else 's'}, not five")
    try:
        return next(CronSim(expression, moment, reverse=reverse))
    except CronSimError as error:
        raise ImpossibleSchedule(expression, _wrong(expression, str(error))) from error
    except (StopIteration, OverflowError) as error:
        raise ImpossibleSchedule(expression, "no such day ever comes") from error


def _wrong(expression: str, error: str) -> str:
    """In words, from the name of a field that the parser gives."""
    name = error.removeprefix("Bad ")
    if name not in _FIELDS:
        return error
    value = expression.split()[list(_FIELDS).index(name)]
    if name == "day-of-month" and value.isdigit() and 1 <= int(value) <= 31:
        return f"no such month has a day {value}"
    return f"{value!r} is no {name.replace('-', ' ')} ({_FIELDS[name]})"
