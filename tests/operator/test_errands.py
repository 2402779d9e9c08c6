"""Calls to the engine beside the sweeps: what is put off is no failure."""

from datetime import UTC, datetime, timedelta

import pytest
from nearcode.domain.errors import Reason, Unavailable
from nearcode_operator.errands import Errands

START = datetime(2026, 1, 1, tzinfo=UTC)


class Engine:
    """Puts the first `refusals` calls off; each takes a minute."""

    def __init__(self, refusals: int, reason: Reason) -> None:
        self.refusals, self.reason, self.now = refusals, reason, START

    async def call(self) -> None:
        self.now += timedelta(minutes=1)
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("not now", self.reason, retry_after=0.001)


async def run(engine: Engine) -> Errands:
    errands = Errands(1, 60.0, lambda: engine.now, lambda: None)
    errands.start("r1", engine.call)
    await errands.settled(["r1"])
    return errands


@pytest.mark.parametrize("reason", [Reason.OVERLOADED, Reason.FETCH_IN_PROGRESS])
async def test_what_an_engine_puts_off_is_asked_for_again_and_is_no_failure(reason: Reason) -> None:
    errands = await run(engine := Engine(1, reason))
    assert (errands.results["r1"].failure, errands.results["r1"].failures) == ("", 0)
    assert errands.may_start("r1", engine.now)


async def test_an_engine_that_puts_off_for_minutes_is_told() -> None:
    assert (await run(Engine(9, Reason.OVERLOADED))).results["r1"].failure == "not now"


async def test_a_fetch_that_fails_is_told_at_once_and_tried_again_after_a_pause() -> None:
    errands = await run(engine := Engine(1, Reason.FETCH_FAILED))
    assert errands.results["r1"].failures == 1 and not errands.may_start("r1", engine.now)
    engine.now += timedelta(minutes=1)
    assert errands.may_start("r1", engine.now)


async def test_what_was_seen_before_an_errand_ended_asks_for_no_other() -> None:
    errands = await run(engine := Engine(0, Reason.OVERLOADED))
    assert not errands.may_start("r1", START)
    assert errands.may_start("r1", engine.now)
