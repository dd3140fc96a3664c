"""How long processes and feeds have been silent, and when a market rests."""

from datetime import UTC, datetime

import pytest

from strategy_engine.market.model import Calendar
from strategy_engine.risk import heartbeat
from strategy_engine.risk.heartbeat import Heartbeats


def test_who_owes_no_answer_is_not_silent():
    assert Heartbeats().silence_s("exec_1", None, 100.0) == 0.0


def test_silence_lasts_from_the_question_until_an_answer():
    beats = Heartbeats()

    assert beats.silence_s("exec_1", 100.0, 103.0) == 3.0
    assert beats.silence_s("exec_1", None, 104.0) == 0.0
    assert beats.silence_s("exec_1", 105.0, 106.0) == 1.0


def test_a_process_that_is_started_again_and_again_is_silent_from_the_first_time_on():
    beats = Heartbeats()
    beats.silence_s("exec_1", 100.0, 104.0)

    assert beats.silence_s("exec_1", 106.0, 107.0) == 7.0


def test_who_runs_no_more_is_forgotten():
    beats = Heartbeats()
    beats.silence_s("exec_1", 100.0, 104.0)

    beats.keep(())

    assert beats.silence_s("exec_1", 200.0, 201.0) == 1.0


def test_a_feed_is_stale_by_what_is_beyond_a_bars_length():
    told = {"bar_s": 60.0, "now_s": 1_000.0, "is_open": True}

    assert heartbeat.staleness_s(None, **told) == 0.0
    assert heartbeat.staleness_s(950.0, **told) == 0.0
    assert heartbeat.staleness_s(900.0, **told) == 40.0
    assert heartbeat.staleness_s(900.0, **told | {"is_open": False}) is None


@pytest.mark.parametrize(
    ("calendar", "now", "is_open"),
    [
        (Calendar.CONTINUOUS, datetime(2026, 3, 7, 12, tzinfo=UTC), True),
        (Calendar.SESSION, datetime(2026, 3, 4, 15, tzinfo=UTC), False),  # its hours are not known
        (Calendar.FX, datetime(2026, 3, 4, 3, tzinfo=UTC), True),
        (Calendar.FX, datetime(2026, 3, 6, 21, 59, tzinfo=UTC), True),  # Friday, before its roll
        (Calendar.FX, datetime(2026, 3, 6, 22, 1, tzinfo=UTC), False),
        (Calendar.FX, datetime(2026, 3, 7, 12, tzinfo=UTC), False),
        (Calendar.FX, datetime(2026, 3, 8, 20, 59, tzinfo=UTC), False),  # New York's summer begins
        (Calendar.FX, datetime(2026, 3, 8, 21, 1, tzinfo=UTC), True),
    ],
)
def test_bars_are_expected_while_a_market_trades(calendar, now, is_open):
    assert heartbeat.is_open((calendar,), now) is is_open


def test_of_several_markets_all_must_trade():
    weekend = datetime(2026, 3, 7, 12, tzinfo=UTC)

    assert not heartbeat.is_open((Calendar.CONTINUOUS, Calendar.FX), weekend)
    assert not heartbeat.is_open((), weekend)
