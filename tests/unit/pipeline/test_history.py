import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.market.model import Calendar
from strategy_engine.pipeline import history


@pytest.fixture
def pair(make):
    """Hours of one symbol, and every second hour of another, from an hour later."""
    return history.history(
        [
            make.series(make.wave(100), symbol="B.SIM"),
            make.series(
                make.wave(40),
                symbol="A.SIM",
                start_ns=make.START_NS + make.HOUR_NS,
                step_ns=2 * make.HOUR_NS,
            ),
        ]
    )


def test_symbols_stand_in_order_and_an_instant_once(pair):
    assert [each.symbol for each in pair.series] == ["A.SIM", "B.SIM"]
    times = pair.timeline()
    assert times.size == 100
    assert np.all(np.diff(times) > 0)
    assert pair.bar_count() == 140


@given(size=st.integers(2, 400))
def test_the_hold_out_is_the_last_twentieth_and_nothing_is_lost(make, size):
    whole = make.history(make.wave(size))
    seen, unseen = history.hold_out(whole)
    assert seen.timeline().size == int(size * 0.95)
    assert [*seen.timeline(), *unseen.timeline()] == list(whole.timeline())


def test_a_hold_out_cuts_every_symbol_at_one_instant(pair):
    seen, unseen = history.hold_out(pair)
    border = seen.timeline()[-1]
    assert all(each.bars.close_ns[-1] <= border for each in seen.series)
    assert all(each.bars.close_ns[0] > border for each in unseen.series if len(each.bars))
    assert seen.bar_count() + unseen.bar_count() == pair.bar_count()


def test_the_most_recent_days_are_counted_back_from_the_end(make):
    whole = make.history(make.wave(24 * 10))
    assert history.span_days(whole) == 10
    assert history.most_recent(whole, 3).bar_count() == 72
    assert history.span_days(history.most_recent(whole, 3)) == 3
    assert history.most_recent(whole, 30).bar_count() == 240
    assert history.most_recent(whole, None) is whole


def test_a_window_is_warmed_up_by_the_same_number_of_bars_of_each_symbol(pair):
    _, window = history.hold_out(pair)
    longer, count = history.with_warm_up(pair, window, 20)
    assert count == 20
    for own, more in zip(window.series, longer.series, strict=True):
        assert len(more.bars) >= 20
        if len(own.bars):
            assert len(more.bars) == len(own.bars) + 20
            assert more.bars.ts_ns[20] == own.bars.ts_ns[0]


def test_a_history_that_begins_late_warms_up_with_what_there_is(make):
    whole = make.history(make.wave(100))
    _, window = history.hold_out(whole)
    longer, count = history.with_warm_up(whole, window, 5_000)
    assert count == 95
    assert longer.bar_count() == 100


def test_the_identity_is_of_the_bars_not_of_the_objects(make):
    one = make.history([1.1, 1.2, 1.3])
    assert one.identity() == make.history([1.1, 1.2, 1.3]).identity()
    assert one.identity() != make.history([1.1, 1.2, 1.30001]).identity()
    assert one.identity() != make.history([1.1, 1.2, 1.3], symbol="X.SIM").identity()
    assert one.identity() != one.last(2).identity()


def test_ticks_are_those_of_the_prices(make):
    one = make.series([1.10000, 1.10001, 0.99999])
    assert one.ticks()[3].tolist() == [110_000, 110_001, 99_999]


def test_days_are_the_calendar_s_and_never_fall(make, pair):
    fx = make.history(make.wave(48), calendar=Calendar.FX)
    assert np.unique(fx.days()).size == 2  # from 22:00 UTC, when New York's day rolls in winter
    assert np.all(np.diff(pair.days()) >= 0)


@pytest.mark.parametrize(
    ("calendars", "expected", "periods"),
    [
        ((Calendar.FX, Calendar.FX), Calendar.FX, 252),
        ((Calendar.FX, Calendar.SESSION), Calendar.SESSION, 252),
        ((Calendar.FX, Calendar.CONTINUOUS), Calendar.CONTINUOUS, 365),
    ],
)
def test_mixed_calendars_are_counted_by_the_widest(make, calendars, expected, periods):
    mixed = history.history(
        [
            make.series([1.0, 1.1], symbol=f"{name}.SIM", calendar=each)
            for name, each in zip("AB", calendars, strict=True)
        ]
    )
    assert mixed.calendar is expected
    assert mixed.calendar.periods_per_year == periods


def test_a_paper_window_is_one_range_of_time_in_which_no_symbol_has_too_many_bars(
    make, monkeypatch
):
    monkeypatch.setattr(history, "MOST_PAPER_BARS", 30)
    fine = make.series(make.wave(200), symbol="A.SIM")
    coarse = make.series(make.wave(50), symbol="B.SIM", step_ns=4 * make.HOUR_NS)
    window = history.paper_window(history.history([fine, coarse]))
    counts = {each.symbol: len(each.bars) for each in window.series}
    assert counts["A.SIM"] == 30
    assert counts["B.SIM"] == 8
    short = make.history(make.wave(30))
    assert history.paper_window(short) is short


def test_a_window_begins_after_the_last_close_before_it(make):
    whole = make.history(make.wave(100))
    times = whole.timeline().tolist()
    assert history.border(whole, whole.after(times[59])) == times[59]
    assert history.border(whole, whole) == times[0] - 1
