import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.performance import measure
from strategy_engine.performance.model import RoundTrip
from strategy_engine.performance.service import LiveMetrics

HOUR_NS = 3_600 * 10**9
CAPITAL = 1_000.0

steps = st.lists(
    st.tuples(st.integers(1, 3), st.floats(900, 1_100), st.floats(0.9, 1.1)),
    min_size=3,
    max_size=30,
)


def fresh() -> LiveMetrics:
    return LiveMetrics(capital=CAPITAL, periods_per_year=6_000)


@given(steps)
def test_of_several_closes_at_one_instant_only_the_last_counts(instants):
    live = fresh()
    for number, (events, equity, benchmark) in enumerate(instants, start=1):
        for before in range(events, 0, -1):
            live.add_close(
                number * HOUR_NS, equity=equity + before - 1, benchmark=benchmark * before
            )

    expected = measure.measure_bars(
        np.array([each[1] for each in instants]),
        ts_ns=np.arange(1, len(instants) + 1) * HOUR_NS,
        capital=CAPITAL,
        round_trips=[],
        benchmark_price=np.array([each[2] for each in instants]),
        benchmark_start=1.0,
        periods_per_year=6_000,
    )
    found = live.final_metrics().to_dict()
    assert found["max_drawdown"] == pytest.approx(expected.to_dict()["max_drawdown"])
    assert found["total_return"] == pytest.approx(expected.to_dict()["total_return"])
    assert found["volatility"] == pytest.approx(expected.to_dict()["volatility"])


def test_an_instant_is_counted_when_a_later_one_has_come():
    live = fresh()
    live.add_close(HOUR_NS, equity=1_100, benchmark=1.0)

    before = live.metrics().return_count
    live.add_close(2 * HOUR_NS, equity=1_100, benchmark=1.0)

    assert (before, live.metrics().return_count) == (0, 1)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50)), min_size=1, max_size=20))
def test_round_trips_that_come_out_of_order_keep_their_number_and_their_length(spans):
    live = fresh()
    for entry, length in spans:
        live.add_round_trip(
            RoundTrip(entry_ns=entry * HOUR_NS, exit_ns=(entry + length) * HOUR_NS, pnl=1.0)
        )

    found = live.final_metrics()

    assert live.trade_count == found.trade_count == len(spans)
    mean_minutes = 60 * sum(length for _, length in spans) / len(spans)
    assert found.to_dict()["avg_trade_duration"] == pytest.approx(mean_minutes)
