"""The running form equals the batch form, on any history."""

import math
from dataclasses import fields

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.core import errors
from strategy_engine.performance import (
    formulas,
    measure,
    model,
    regression,
    running,
    statistics,
    var,
)

MINUTE = formulas.NANOS_PER_MINUTE
SEEDS = st.integers(0, 2**32 - 1)
TOLERANCE = 1e-9


def assert_equal(found: model.Metrics, expected: model.Metrics) -> None:
    for field in fields(model.Metrics):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if not isinstance(one, model.Estimate):
            assert one == other, field.name
            continue
        assert one.n == other.n, field.name
        for part in ("value", "low", "high"):
            value = getattr(other, part)
            near = None if value is None else pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)
            assert getattr(one, part) == near, f"{field.name}.{part}"


def round_trips(random: np.random.Generator, *, count: int, span_ns: int) -> list[model.RoundTrip]:
    exits = np.sort(random.integers(1, span_ns, count))
    return [
        model.RoundTrip(
            entry_ns=int(random.integers(max(0, end - span_ns // 10), end + 1)),
            exit_ns=int(end),
            pnl=float(random.normal(5.0, 100.0)),
        )
        for end in exits
    ]


@settings(deadline=None)
@given(
    seed=SEEDS,
    bars=st.integers(0, 400),
    trades=st.integers(0, 40),
    step=st.sampled_from([1, 60, 1_440]),
    risk_free=st.sampled_from([0.0, 0.04]),
    has_open=st.booleans(),
    is_quiet=st.booleans(),
)
def test_running_metrics_equal_those_of_the_whole_history(
    *,
    seed: int,
    bars: int,
    trades: int,
    step: int,
    risk_free: float,
    has_open: bool,
    is_quiet: bool,
) -> None:
    random = np.random.default_rng(seed)
    market = random.normal(1e-5, 8e-4, bars)
    returns = 0.6 * market + random.standard_t(4, bars) * 5e-4
    returns[random.random(bars) < (0.7 if is_quiet else 0.0)] = 0.0
    equity, price = 1e5 * np.cumprod(1.0 + returns), 42.0 * np.cumprod(1.0 + market)
    ts_ns = np.arange(1, bars + 1) * step * MINUTE
    trips = round_trips(random, count=trades, span_ns=(bars + 1) * step * MINUTE)
    per_year = 525_600.0 / step

    whole = measure.measure_bars(
        equity,
        ts_ns=ts_ns,
        capital=1e5,
        round_trips=trips,
        benchmark_price=price,
        periods_per_year=per_year,
        benchmark_start=41.9 if has_open else None,
        risk_free=risk_free,
    )
    live = running.Running(
        capital=1e5,
        periods_per_year=per_year,
        benchmark_start=41.9 if has_open else None,
        risk_free=risk_free,
    )
    for bar in range(bars):
        live.add_bar(float(equity[bar]), ts_ns=int(ts_ns[bar]), benchmark_price=float(price[bar]))
    for trip in trips:
        live.add_round_trip(trip)

    assert_equal(live.metrics(), whole)


@given(
    equity=st.lists(st.floats(-50.0, 500.0), min_size=1, max_size=30),
    flat=st.integers(0, 10),
)
def test_they_are_equal_without_a_benchmark_through_ruin_and_standstill(
    equity: list[float], flat: int
) -> None:
    values = np.array([*[100.0] * flat, *np.round(equity, 2)])
    ts_ns = np.arange(1, values.size + 1) * MINUTE
    whole = measure.measure_bars(
        values,
        ts_ns=ts_ns,
        capital=100.0,
        round_trips=(),
        benchmark_price=None,
        periods_per_year=525_600,
    )
    live = running.Running(capital=100.0, periods_per_year=525_600)
    for value, moment in zip(values, ts_ns, strict=True):
        live.add_bar(float(value), ts_ns=int(moment))
    assert_equal(live.metrics(), whole)


@settings(deadline=None)
@given(seed=SEEDS, bars=st.integers(1, 300), cut=st.floats(0.0, 1.0), flows=st.booleans())
def test_a_history_that_goes_on_from_a_dump_is_the_same_to_the_last_digit(
    *, seed: int, bars: int, cut: float, flows: bool
) -> None:
    random = np.random.default_rng(seed)
    equity = 1e5 * np.cumprod(1.0 + random.normal(0.0, 0.01, bars))
    price = np.cumprod(1.0 + random.normal(0.0, 0.01, bars))
    flow = np.where(random.random(bars) < 0.1, 1e3, 0.0) if flows else np.zeros(bars)

    def fresh() -> running.Running:
        return running.Running(capital=1e5, periods_per_year=8_760, benchmark_start=1.0)

    def feed(live: running.Running, start: int, stop: int) -> None:
        for bar in range(start, stop):
            live.add_bar(
                float(equity[bar]),
                ts_ns=(bar + 1) * 7 * 60 * MINUTE,
                benchmark_price=float(price[bar]),
                before_flows=float(equity[bar] - flow[bar]),
            )

    whole, first, second = fresh(), fresh(), fresh()
    at = int(cut * bars)
    feed(whole, 0, bars)
    feed(first, 0, at)
    second.load(msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump())))
    feed(second, at, bars)

    assert second.metrics() == whole.metrics()
    assert second.dump() == whole.dump()


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=400))
def test_the_tail_of_ordered_returns_is_that_of_the_array(values: list[float]) -> None:
    found, shortfall = var.ordered_tail(sorted(values))
    assert found.value == pytest.approx(var.historical_var(np.array(values)), abs=1e-12)
    assert shortfall.value == pytest.approx(var.historical_cvar(np.array(values)), abs=1e-12)
    if found.low is not None:
        assert found.low <= found.value <= found.high


def test_the_interval_of_a_quantile_holds_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    truth = -statistics.NORMAL.inv_cdf(0.05)
    held = 0
    for _ in range(1_000):
        found, _ = var.ordered_tail(np.sort(random.normal(size=400)).tolist())
        assert found.low is not None
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 1_000 <= 0.98


@pytest.mark.parametrize("leverage", [0.0, 1.0])
def test_they_agree_that_holding_the_benchmark_leaves_nothing_to_judge(leverage: float) -> None:
    market = np.random.default_rng(4).normal(0.0, 0.01, 200)
    price, equity = 10.0 * np.cumprod(1.0 + market), 1e4 * np.cumprod(1.0 + leverage * market)
    live = running.Running(capital=1e4, periods_per_year=252, benchmark_start=10.0)
    for bar in range(200):
        live.add_bar(float(equity[bar]), ts_ns=bar, benchmark_price=float(price[bar]))
    metrics = live.metrics()
    assert metrics.beta.value == pytest.approx(leverage, abs=1e-9)
    assert (metrics.information_ratio.value is None) == (leverage == 1.0)
    assert (metrics.alpha_t.value, metrics.alpha.low) == (None, None)


@given(st.lists(st.floats(-1e3, 1e3), max_size=50))
def test_accumulated_moments_are_those_of_the_array(values: list[float]) -> None:
    accumulator = running.Accumulator()
    for value in values:
        accumulator.add(value)
    found, expected = accumulator.moments(), formulas.moments(np.array(values))
    scale = max([1.0, *map(abs, values)])
    assert found.n == expected.n == accumulator.n
    assert found.mean == pytest.approx(expected.mean, abs=1e-12 * scale)
    assert found.m2 == pytest.approx(expected.m2, rel=1e-9, abs=1e-11 * scale**2)
    assert found.m3 == pytest.approx(expected.m3, rel=1e-9, abs=1e-10 * scale**3)
    assert found.m4 == pytest.approx(expected.m4, rel=1e-9, abs=1e-10 * scale**4)


def test_a_long_history_reaches_the_last_lag_and_stays_equal() -> None:
    random = np.random.default_rng(6)
    n = 4_000
    market, noise = random.normal(0.0, 0.01, n), random.normal(0.0, 0.01, n)
    returns = 0.3 * market + noise + 0.5 * np.concatenate(((0.0,), noise[:-1]))
    line = running.Line()
    for y, x in zip(returns, market, strict=True):
        line.add(float(y), float(x))
    found, expected = line.regression(), regression.regress(returns, market)
    assert found is not None
    assert expected is not None
    assert found.alpha == pytest.approx(expected.alpha, rel=TOLERANCE)
    assert found.alpha_error == pytest.approx(expected.alpha_error, rel=TOLERANCE)
    assert found.beta_error == pytest.approx(expected.beta_error, rel=TOLERANCE)


def test_nothing_yet_is_nothing_defined() -> None:
    metrics = running.Running(capital=100.0, periods_per_year=252).metrics()
    assert set(metrics.to_dict().values()) == {0}
    assert metrics.total_return.value is None


def test_round_trips_out_of_order_are_refused() -> None:
    live = running.Running(capital=100.0, periods_per_year=252)
    live.add_round_trip(model.RoundTrip(entry_ns=0, exit_ns=10, pnl=1.0))
    with pytest.raises(errors.InvalidError, match="order of their exits"):
        live.add_round_trip(model.RoundTrip(entry_ns=0, exit_ns=9, pnl=1.0))


@pytest.mark.parametrize(
    ("equity", "ts_ns", "price", "message"),
    [
        (math.nan, 20, 5.0, "equity"),
        (100.0, 9, 5.0, "before the last one"),
        (100.0, 20, 0.0, "benchmark_price"),
        (100.0, 20, None, "every bar, or with none"),
    ],
)
def test_a_bar_that_cannot_be_measured_is_refused_and_changes_nothing(
    equity: float, ts_ns: int, price: float | None, message: str
) -> None:
    live = running.Running(capital=100.0, periods_per_year=252)
    live.add_bar(101.0, ts_ns=10, benchmark_price=5.0)
    before = live.metrics()
    with pytest.raises(errors.InvalidError, match=message):
        live.add_bar(equity, ts_ns=ts_ns, benchmark_price=price)
    assert live.metrics() == before


def test_a_benchmark_may_not_begin_late() -> None:
    live = running.Running(capital=100.0, periods_per_year=252)
    live.add_bar(101.0, ts_ns=10)
    with pytest.raises(errors.InvalidError, match="every bar, or with none"):
        live.add_bar(102.0, ts_ns=20, benchmark_price=5.0)


def test_a_running_history_needs_capital() -> None:
    with pytest.raises(errors.InvalidError, match="capital"):
        running.Running(capital=0.0, periods_per_year=252)
