from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.execution import history as histories
from strategy_engine.execution.history import BEFORE_ALL
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.market.service import Catalogue

EURUSD, GOOGL = "EUR/USD.SIM", "GOOGL.SIM"
CATALOGUE = Catalogue(Path("/nonexistent"))
ONE = histories.load(CATALOGUE, [EURUSD], None, None)
BOTH = histories.load(CATALOGUE, [GOOGL, EURUSD], None, None)


def closes(frame):
    return (np.frombuffer(frame.open_ns, dtype="<i8") + frame.duration_ns).tolist()


def test_without_a_start_the_first_live_bar_is_the_one_after_warm_up():
    found = histories.begin(ONE, ExecutionConfig(), 100)

    (frame,) = found.frames_before(BEFORE_ALL)

    assert closes(frame) == ONE[EURUSD].bars.close_ns[:100].tolist()
    assert found.first_opens() == {EURUSD: float(ONE[EURUSD].bars.open[100])}


def test_a_range_starts_after_its_start_and_warms_up_with_what_was_before():
    start_ns = int(ONE[EURUSD].bars.ts_ns[500])
    found = histories.begin(ONE, ExecutionConfig(start_ns=start_ns), 100)

    (frame,) = found.frames_before(BEFORE_ALL)

    assert closes(frame) == ONE[EURUSD].bars.close_ns[400:500].tolist()


def test_a_range_ends_with_the_last_bar_that_has_closed():
    end_ns = int(ONE[EURUSD].bars.close_ns[700])

    found = histories.load(CATALOGUE, [EURUSD], None, end_ns)[EURUSD]

    assert int(found.bars.close_ns[-1]) == end_ns


def test_a_config_may_ask_for_another_warm_up():
    found = histories.begin(ONE, ExecutionConfig(warm_up=7), 100)

    (frame,) = found.frames_before(BEFORE_ALL)

    assert len(closes(frame)) == 7


def test_a_history_shorter_than_its_warm_up_leaves_nothing_to_play():
    found = histories.begin(ONE, ExecutionConfig(), 10**6)

    assert found.first_opens() == {}


@given(index=st.integers(100, 6_000))
def test_after_a_cursor_a_strategy_is_warmed_up_with_the_bars_up_to_it(index):
    found = histories.begin(ONE, ExecutionConfig(), 100)
    cursor = int(ONE[EURUSD].bars.close_ns[index]), EURUSD

    (frame,) = found.frames_before(cursor)

    assert closes(frame) == ONE[EURUSD].bars.close_ns[index - 99 : index + 1].tolist()


@given(index=st.integers(100, 5_000), missed=st.integers(0, 300))
def test_what_was_missed_is_told_as_far_as_it_is_remembered(index, missed):
    found = histories.begin(ONE, ExecutionConfig(), 100)
    all_closes = ONE[EURUSD].bars.close_ns.tolist()

    (frame,) = found.frames_between(
        (all_closes[index], EURUSD), (all_closes[index + missed], EURUSD)
    )

    assert closes(frame) == all_closes[index + 1 : index + missed + 1][-100:]


def test_of_instruments_that_close_at_one_instant_only_the_first_is_known_at_its_cursor():
    both = {EURUSD: ONE[EURUSD], "ZZZ/USD.SIM": ONE[EURUSD]}
    found = histories.begin(both, ExecutionConfig(), 100)
    now_ns = int(ONE[EURUSD].bars.close_ns[200])

    first, second = found.frames_before((now_ns, EURUSD))

    assert closes(first)[-1] == now_ns
    assert closes(second)[-1] < now_ns


def test_ticks_are_whole_and_within_half_a_tick_of_the_price():
    each = ONE[EURUSD]

    ticks = [each.ticks_at(index) for index in range(0, 6_000, 61)]

    assert all(type(value) is int for bar in ticks for value in bar)
    assert ticks[0][3] == round(float(each.bars.close[0]) * 100_000)


@pytest.mark.parametrize(
    ("series", "least", "most"),
    [(ONE, 252 * 23, 252 * 24), (histories.load(CATALOGUE, [GOOGL], None, None), 252, 252)],
    ids=["hourly-fx", "daily-shares"],
)
def test_a_year_has_as_many_instants_as_its_trading_days_have_bars(series, least, most):
    assert least <= histories.begin(series, ExecutionConfig(), 1).instants_per_year() <= most
