"""When repositories are looked at: on their schedule, not all at once; and what is said of a schedule that cannot be."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st
from nearcode_operator.schedule import SPREAD, ImpossibleSchedule, check, due, next_time

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULES = ["*/5 * * * *", "* * * * *", "0 3 * * *", "30 8-18 * * MON-FRI", "0 0 1 * *", "0 0 29 2 *", "0 0 L * *"]
moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(st.sampled_from(SCHEDULES), st.uuids(), moments)
def test_the_next_time_is_to_come_and_near_the_schedules(schedule: str, uid: object, now: datetime) -> None:
    coming = next_time(schedule, str(uid), now)
    assert coming > now
    assert next(CronSim(schedule, coming - SPREAD - timedelta(seconds=1))) <= coming


@given(st.sampled_from(SCHEDULES), st.uuids(), moments)
def test_one_comes_after_the_other(schedule: str, uid: object, now: datetime) -> None:
    """Asked right before a time, the answer is that time; asked at it, the one after."""
    coming = next_time(schedule, str(uid), now)
    assert next_time(schedule, str(uid), coming - timedelta(seconds=1)) == coming
    assert next_time(schedule, str(uid), coming) > coming


@given(st.uuids(), moments)
def test_every_five_minutes_is_every_five_minutes(uid: object, now: datetime) -> None:
    coming = next_time("*/5 * * * *", str(uid), now)
    assert coming - now <= timedelta(minutes=5)
    assert next_time("*/5 * * * *", str(uid), coming) - coming == timedelta(minutes=5)


def test_a_thousand_repositories_do_not_fetch_at_once() -> None:
    for schedule, seconds in (("*/5 * * * *", 300), ("0 3 * * *", 900)):
        times = [next_time(schedule, f"uid-{number}", NOON) for number in range(1000)]
        assert max(times) - min(times) <= timedelta(seconds=seconds)
        assert max(Counter(times).values()) <= 15
        quarters = Counter((moment - min(times)).seconds * 4 // seconds for moment in times)
        assert all(200 <= quarters[quarter] <= 300 for quarter in range(4)), quarters


def test_three_in_the_morning_is_within_a_quarter_of_an_hour() -> None:
    coming = next_time("0 3 * * *", "some-uid", NOON)
    assert timedelta(0) <= coming - datetime(2026, 3, 2, 3, tzinfo=UTC) < timedelta(minutes=15)


def test_due_when_its_time_has_come_since_the_last_look() -> None:
    coming = next_time("*/5 * * * *", "uid", NOON)
    assert due("*/5 * * * *", "uid", None, NOON)
    assert not due("*/5 * * * *", "uid", NOON, coming - timedelta(seconds=1))
    assert due("*/5 * * * *", "uid", NOON, coming)
    assert not due("*/5 * * * *", "uid", coming, coming)
    assert due("*/5 * * * *", "uid", NOON - timedelta(days=9), NOON), "an operator that was away catches up once"


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        ("0 0 30 2 *", "no such month has a day 30"),
        ("0 0 31 4,6 *", "no such"),
        ("61 * * * *", "'61' is no minute (0-59)"),
        ("0 25 * * *", "'25' is no hour (0-23)"),
        ("0 0 0 * *", "'0' is no day of month (1-31)"),
        ("0 0 * MAI *", "'MAI' is no month (1-12)"),
        ("0 0 * * 8", "'8' is no day of week (0-7)"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("every five minutes or so", "'every' is no minute"),
        ("@hourly", "it has 1 field, not five"),
        ("0 */5 * * * *", "it has 6 fields, not five"),
        ("", "it has 0 fields, not five"),
    ],
)
def test_an_impossible_schedule_says_what_is_wrong(schedule: str, wrong: str) -> None:
    with pytest.raises(ImpossibleSchedule) as refused:
        check(schedule)
    assert wrong in refused.value.message
    assert "*/5 * * * *" in refused.value.message


@given(st.text("0123456789*/,-#LW MONJAN\n", max_size=30) | st.text(max_size=30))
def test_any_words_are_a_schedule_or_impossible(schedule: str) -> None:
    try:
        check(schedule)
    except ImpossibleSchedule:
        return
    assert next_time(schedule, "uid", NOON) > NOON
