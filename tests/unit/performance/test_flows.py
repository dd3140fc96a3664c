"""Cash that flows through an account is neither gain nor loss in any figure."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.performance import formulas, measure, model, running
from strategy_engine.performance.service import LiveMetrics

CAPITAL = 10_000.0
MINUTE = formulas.NANOS_PER_MINUTE
SEEDS = st.integers(0, 2**32 - 1)


def market(
    seed: int, bars: int, flows: int, *, empties: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return equity and flow of an account, and what its first capital has become."""
    random = np.random.default_rng(seed)
    simple = random.normal(0.0002, 0.01, bars)
    at = set(random.integers(0, bars, flows).tolist()) if bars else set()
    equity, flow, worth = np.empty(bars), np.zeros(bars), np.empty(bars)
    held, first = CAPITAL, CAPITAL
    for bar in range(bars):
        first *= 1.0 + simple[bar] if held > 0.0 else 1.0
        held *= 1.0 + simple[bar]
        if bar in at:
            is_empty = empties and random.random() < 0.3
            moved = -held if is_empty else float(random.uniform(-0.9 * held, 2 * CAPITAL))
            held, flow[bar] = held + moved, moved
        equity[bar], worth[bar] = held, first
    return equity, flow, worth


def near(found: model.Metrics, expected: model.Metrics) -> None:
    for field in fields(model.Metrics):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(one, model.Estimate):
            assert one.n == other.n, field.name
            one, other = one.value, other.value
        assert one == (None if other is None else pytest.approx(other, rel=1e-6, abs=1e-9))


@settings(deadline=None)
@given(seed=SEEDS, bars=st.integers(0, 200), flows=st.integers(0, 12), empties=st.booleans())
def test_without_flows_is_what_the_first_capital_would_have_become(seed, bars, flows, empties):
    equity, flow, worth = market(seed, bars, flows, empties=empties)

    found = formulas.without_flows(equity, flow, start=CAPITAL)

    np.testing.assert_allclose(found, worth, rtol=1e-9)


@settings(deadline=None)
@given(seed=SEEDS, bars=st.integers(0, 200), flows=st.integers(0, 12), empties=st.booleans())
def test_every_figure_is_that_of_an_account_through_which_nothing_flowed(
    seed, bars, flows, empties
):
    equity, flow, worth = market(seed, bars, flows, empties=empties)
    price = 100.0 * np.cumprod(1.0 + np.random.default_rng(seed + 1).normal(0, 0.01, bars))
    ts_ns = (np.arange(bars) + 1) * MINUTE * 60
    history = {
        "ts_ns": ts_ns,
        "capital": CAPITAL,
        "round_trips": [],
        "benchmark_price": price,
        "benchmark_start": 100.0,
    }
    moved = {"flow": flow}

    by_bar = measure.measure_bars(equity, periods_per_year=8_760, **history, **moved)
    near(by_bar, measure.measure_bars(worth, periods_per_year=8_760, **history))
    day = (ts_ns - 1) // formulas.NANOS_PER_DAY
    by_day = measure.measure(equity, day=day, periods=365, **history, **moved)
    near(by_day, measure.measure(worth, day=day, periods=365, **history))


@settings(deadline=None)
@given(seed=SEEDS, bars=st.integers(0, 200), flows=st.integers(0, 12), empties=st.booleans())
def test_running_metrics_with_flows_equal_those_of_the_whole_history(seed, bars, flows, empties):
    equity, flow, _ = market(seed, bars, flows, empties=empties)
    ts_ns = (np.arange(bars) + 1) * MINUTE
    live = running.Running(capital=CAPITAL, periods_per_year=525_600)
    for bar in range(bars):
        before = float(equity[bar] - flow[bar])
        live.add_bar(float(equity[bar]), ts_ns=int(ts_ns[bar]), before_flows=before)

    whole = measure.measure_bars(
        equity,
        ts_ns=ts_ns,
        capital=CAPITAL,
        round_trips=[],
        benchmark_price=None,
        periods_per_year=525_600,
        flow=flow,
    )

    near(live.metrics(), whole)


@given(equity=st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_without_a_flow_equity_is_taken_to_the_last_digit(equity):
    values = np.array(equity)
    found = formulas.without_flows(values, np.zeros(values.size), start=CAPITAL)
    assert found.tolist() == equity


def test_a_deposit_right_after_a_loss_does_not_hide_it():
    live = LiveMetrics(capital=1_000.0, periods_per_year=8_760)
    live.add_close(1, equity=500.0, benchmark=1.0)
    live.add_close(2, equity=9_500.0, benchmark=1.0, before_flows=500.0)
    live.add_close(3, equity=9_500.0, benchmark=1.0)

    found = live.final_metrics()

    assert found.total_return.value == pytest.approx(-0.5)
    assert found.max_drawdown.value == pytest.approx(-0.5)


def test_what_is_paid_in_after_ruin_makes_nothing_good():
    live = LiveMetrics(capital=1_000.0, periods_per_year=8_760)
    live.add_close(1, equity=-100.0, benchmark=1.0)
    live.add_close(2, equity=4_900.0, benchmark=1.0, before_flows=-100.0)
    live.add_close(3, equity=9_800.0, benchmark=1.0)

    found = live.final_metrics()

    assert found.total_return.value == pytest.approx(-1.1)
    assert found.return_count == 1


def test_an_account_that_was_emptied_goes_on_where_it_was_when_it_is_filled_again():
    live = LiveMetrics(capital=1_000.0, periods_per_year=8_760)
    live.add_close(1, equity=1_100.0, benchmark=1.0)
    live.add_close(2, equity=0.0, benchmark=1.0, before_flows=1_100.0)
    live.add_close(3, equity=0.0, benchmark=1.0)
    live.add_close(4, equity=50.0, benchmark=1.0, before_flows=0.0)
    live.add_close(5, equity=55.0, benchmark=1.0)

    found = live.final_metrics()

    assert found.total_return.value == pytest.approx(0.21)
    assert found.max_drawdown.value == 0.0
    assert found.return_count == 5


def test_flows_that_are_not_one_a_bar_are_refused():
    with pytest.raises(InvalidError, match="flow has shape"):
        measure.measure_bars(
            np.ones(3),
            ts_ns=np.arange(3),
            capital=1.0,
            round_trips=[],
            benchmark_price=None,
            periods_per_year=1.0,
            flow=np.ones(2),
        )
