"""A whole history measured: days, benchmark, undefined cases, refusals, both dictionaries."""

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import errors
from strategy_engine.performance import formulas, measure, model

DAY = formulas.NANOS_PER_DAY
HOUR = DAY // 24
MINUTE = formulas.NANOS_PER_MINUTE
SEEDS = st.integers(0, 2**32 - 1)


def trip(*, entry: int, leave: int, pnl: float) -> model.RoundTrip:
    return model.RoundTrip(entry_ns=entry, exit_ns=leave, pnl=pnl)


def measured(**changes: object) -> model.Metrics:
    """Measure four bars of two days: 101, 102 and 100, 104 on a capital of 100."""
    columns: dict[str, object] = {
        "equity": np.array([101.0, 102.0, 100.0, 104.0]),
        "day": np.array([0, 0, 1, 1]),
        "ts_ns": np.array([12, 24, 36, 48]) * HOUR,
        "capital": 100.0,
        "round_trips": (),
        "benchmark_price": None,
        "periods": 252,
        **changes,
    }
    return measure.measure(columns.pop("equity"), **columns)


def daily(returns: np.ndarray, benchmark: np.ndarray | None = None, **changes: object) -> object:
    """Measure one bar a day of the given returns on a capital of 1000."""
    n = returns.size
    return measured(
        equity=1_000.0 * np.cumprod(1.0 + returns),
        day=np.arange(n),
        ts_ns=np.arange(1, n + 1) * DAY,
        capital=1_000.0,
        benchmark_price=None if benchmark is None else 50.0 * np.cumprod(1.0 + benchmark),
        benchmark_start=None if benchmark is None else 50.0,
        **changes,
    )


def test_a_days_return_is_between_the_last_bars_of_days() -> None:
    metrics = measured()
    by_hand = np.array([0.02, 104.0 / 102.0 - 1.0])
    assert metrics.sharpe_ratio.value == pytest.approx(
        by_hand.mean() / by_hand.std(ddof=1) * math.sqrt(252)
    )
    assert metrics.total_return.value == pytest.approx(0.04)
    assert (metrics.day_count, metrics.return_count, metrics.duration_days) == (2, 2, 2)


def test_drawdown_sees_inside_the_day() -> None:
    metrics = measured()
    assert metrics.max_drawdown.value == pytest.approx(100.0 / 102.0 - 1.0)
    assert metrics.max_drawdown.n == 4


def test_flat_days_count_as_returns() -> None:
    metrics = measured(
        equity=np.array([101.0, 101.0, 101.0, 102.01]),
        day=np.arange(4),
        ts_ns=np.arange(1, 5) * DAY,
    )
    by_hand = np.array([0.01, 0.0, 0.0, 0.01])
    assert metrics.return_count == 4
    assert metrics.volatility.value == pytest.approx(by_hand.std(ddof=1) * math.sqrt(252))


def test_the_benchmark_starts_at_its_first_open() -> None:
    price = np.array([50.0, 51.0, 52.0, 51.0])
    with_open = measured(benchmark_price=price, benchmark_start=49.0)
    without = measured(benchmark_price=price)
    market = np.array([51.0 / 49.0 - 1.0, 0.0])
    ours = np.array([0.02, 104.0 / 102.0 - 1.0])
    assert with_open.beta.value == pytest.approx((ours[0] - ours[1]) / (market[0] - market[1]))
    assert without.beta.value == pytest.approx((ours[0] - ours[1]) / (51.0 / 50.0 - 1.0))


@given(SEEDS)
def test_every_estimate_is_its_formula_on_daily_returns(seed: int) -> None:
    random = np.random.default_rng(seed)
    returns, market = random.normal(0.001, 0.02, 60), random.normal(0.0005, 0.015, 60)
    metrics = daily(returns, market)
    assert isinstance(metrics, model.Metrics)
    drawdown = formulas.max_drawdown(np.cumprod(1.0 + returns), capital=1.0)
    yearly = formulas.cagr(float(np.prod(1.0 + returns)) - 1.0, held=60, periods=252)
    slope, level = np.polyfit(market, returns, 1)
    expected = {
        "total_return": float(np.prod(1.0 + returns)) - 1.0,
        "sharpe_ratio": formulas.sharpe_ratio(returns, periods=252),
        "sortino_ratio": formulas.sortino_ratio(returns, periods=252),
        "volatility": formulas.volatility(returns, periods=252),
        "max_drawdown": drawdown,
        "cagr": yearly,
        "calmar_ratio": formulas.calmar_ratio(yearly, drawdown=drawdown),
        "information_ratio": formulas.information_ratio(returns, market, periods=252),
        "alpha": level * 252,
        "beta": slope,
    }
    for name, value in expected.items():
        assert getattr(metrics, name).value == pytest.approx(value, rel=1e-9, abs=1e-9), name


@given(SEEDS)
def test_alpha_and_its_t_statistic_agree_with_its_interval(seed: int) -> None:
    random = np.random.default_rng(seed)
    metrics = daily(random.normal(0.001, 0.02, 80), random.normal(0.0, 0.015, 80))
    assert isinstance(metrics, model.Metrics)
    alpha, t = metrics.alpha, metrics.alpha_t
    assert alpha.low is not None
    assert alpha.high is not None
    assert alpha.value is not None
    assert t.value is not None
    # 1.991 is Student's 97.5 % quantile for 78 degrees of freedom
    assert (alpha.high - alpha.low) / 2.0 == pytest.approx(1.9908 * alpha.value / t.value, rel=1e-3)
    assert (alpha.low > 0.0) == (t.value > 1.9908) or abs(abs(t.value) - 1.9908) < 1e-3


def test_the_yearly_risk_free_rate_is_shared_among_the_periods() -> None:
    random = np.random.default_rng(5)
    returns, market = random.normal(0.001, 0.02, 60), random.normal(0.0, 0.015, 60)
    metrics = daily(returns, market, risk_free=0.0252)
    assert isinstance(metrics, model.Metrics)
    slope, level = np.polyfit(market - 0.0001, returns - 0.0001, 1)
    sharpe = formulas.sharpe_ratio(returns, periods=252, risk_free=0.0001)
    assert metrics.sharpe_ratio.value == pytest.approx(sharpe)
    assert (metrics.alpha.value, metrics.beta.value) == pytest.approx((level * 252, slope))


def test_round_trips_are_counted_with_their_costs_and_their_time() -> None:
    metrics = measured(
        round_trips=[
            trip(entry=12 * HOUR, leave=12 * HOUR + 30 * MINUTE, pnl=5.0),
            trip(entry=13 * HOUR, leave=14 * HOUR, pnl=-2.0),
            trip(entry=13 * HOUR, leave=13 * HOUR + 30 * MINUTE, pnl=0.0),
        ]
    )
    assert metrics.trade_count == 3
    assert metrics.win_rate.value == pytest.approx(1 / 3)
    assert metrics.win_rate.low == pytest.approx(0.0615, abs=5e-5)  # Wilson, 1 of 3
    assert metrics.win_rate.high == pytest.approx(0.7923, abs=5e-5)
    assert metrics.profit_factor.value == pytest.approx(2.5)
    assert metrics.expectancy.value == pytest.approx(1.0)
    assert metrics.avg_trade_duration.value == pytest.approx(40.0)
    assert metrics.exposure.value == pytest.approx(1.5 / 36.0)


def test_without_bars_nothing_is_defined() -> None:
    empty = np.empty(0)
    metrics = measured(
        equity=empty,
        day=np.empty(0, dtype=np.int64),
        ts_ns=np.empty(0, dtype=np.int64),
        benchmark_price=empty,
    )
    assert set(metrics.to_dict().values()) == {0}
    assert all(
        getattr(metrics, field.name) == model.Estimate(value=None, n=0)
        for field in fields(metrics)
        if isinstance(getattr(metrics, field.name), model.Estimate)
    )


def test_one_day_has_a_return_but_no_ratio() -> None:
    metrics = measured(equity=np.array([101.0]), day=np.array([0]), ts_ns=np.array([DAY]))
    assert metrics.total_return.value == pytest.approx(0.01)
    assert (metrics.sharpe_ratio.value, metrics.sharpe_ratio.n) == (None, 1)
    assert (metrics.volatility.value, metrics.sortino_ratio.value) == (None, None)
    assert metrics.max_drawdown.value == 0.0
    assert metrics.calmar_ratio.value is None


def test_an_account_that_never_trades_has_no_ratio_and_loses_nothing() -> None:
    market = np.random.default_rng(1).normal(0.0, 0.01, 40)
    metrics = daily(np.zeros(40), market)
    assert isinstance(metrics, model.Metrics)
    undefined = ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "win_rate", "profit_factor")
    assert [getattr(metrics, name).value for name in undefined] == [None] * 5
    defined = ("total_return", "max_drawdown", "volatility", "alpha", "beta", "exposure", "cagr")
    assert [getattr(metrics, name).value for name in defined] == [0.0] * 7
    assert metrics.alpha_t.value is None


def test_holding_the_benchmark_is_no_alpha() -> None:
    market = np.random.default_rng(2).normal(0.0005, 0.01, 300)
    metrics = daily(market, market)
    assert isinstance(metrics, model.Metrics)
    assert metrics.alpha.value is not None
    assert abs(metrics.alpha.value) < 1e-9
    assert metrics.beta.value == pytest.approx(1.0)
    assert (metrics.information_ratio.value, metrics.alpha_t.value) == (None, None)


def test_a_benchmark_that_never_moves_has_no_beta() -> None:
    returns = np.random.default_rng(3).normal(0.0005, 0.01, 30)
    metrics = daily(returns, np.zeros(30))
    assert isinstance(metrics, model.Metrics)
    assert (metrics.alpha.value, metrics.beta.value) == (None, None)
    assert metrics.information_ratio.value == pytest.approx(metrics.sharpe_ratio.value)


def test_returns_stop_at_ruin_and_the_loss_stays() -> None:
    metrics = measured(
        equity=np.array([80.0, -20.0, 10.0, 30.0]),
        day=np.arange(4),
        ts_ns=np.arange(1, 5) * DAY,
        benchmark_price=np.array([50.0, 52.0, 51.0, 49.0]),
    )
    assert (metrics.return_count, metrics.day_count, metrics.beta.n) == (2, 4, 2)
    assert metrics.max_drawdown.value == pytest.approx(-1.2)
    assert metrics.total_return.value == pytest.approx(-0.7)


def test_bars_are_annualised_by_their_own_number_in_a_year() -> None:
    equity = np.array([101.0, 100.0, 103.0, 102.0])
    metrics = measure.measure_bars(
        equity,
        ts_ns=np.array([6, 12, 30, 36]) * HOUR,
        capital=100.0,
        round_trips=(),
        benchmark_price=None,
        periods_per_year=8_760,
    )
    returns = formulas.simple_returns(equity, start=100.0)
    assert metrics.sharpe_ratio.value == pytest.approx(
        formulas.sharpe_ratio(returns, periods=8_760)
    )
    assert (metrics.return_count, metrics.day_count, metrics.duration_days) == (4, 2, 2)


def test_one_bar_a_day_measures_the_same_in_both_forms() -> None:
    random = np.random.default_rng(9)
    equity = 1_000.0 * np.cumprod(1.0 + random.normal(0.001, 0.01, 50))
    price = 20.0 * np.cumprod(1.0 + random.normal(0.0, 0.01, 50))
    common = {"ts_ns": np.arange(1, 51) * DAY, "capital": 1_000.0, "round_trips": ()}
    by_day = measured(equity=equity, day=np.arange(50), benchmark_price=price, **common)
    by_bar = measure.measure_bars(equity, benchmark_price=price, periods_per_year=252, **common)
    assert by_bar == by_day


@given(SEEDS, st.floats(0.01, 100.0))
def test_ratios_do_not_depend_on_the_currency(seed: int, rate: float) -> None:
    random = np.random.default_rng(seed)
    equity = 1_000.0 * np.cumprod(1.0 + random.normal(0.0, 0.01, 30))
    columns = {"day": np.arange(30), "ts_ns": np.arange(1, 31) * DAY}
    plain = measured(equity=equity, capital=1_000.0, **columns).to_dict()
    exchanged = measured(equity=equity * rate, capital=1_000.0 * rate, **columns).to_dict()
    assert exchanged == pytest.approx(plain, rel=1e-6, abs=1e-9)


def test_the_flat_form_holds_the_fields_of_the_contract_as_numbers() -> None:
    numbers = measured().to_dict()
    named = {"total_return", "sharpe_ratio", "max_drawdown", "win_rate", "trade_count"}
    assert named | {"duration_days", "avg_trade_duration", "alpha", "beta"} <= set(numbers)
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["win_rate"] == 0.0
    assert numbers["total_return"] == pytest.approx(0.04)


def test_the_detailed_form_keeps_what_is_undefined_apart_from_zero() -> None:
    detailed = measured().to_detailed_dict()
    assert detailed["win_rate"] == {"value": None, "n": 0, "low": None, "high": None}
    assert detailed["trade_count"] == 0
    assert set(detailed) == set(measured().to_dict())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_undefined(value: float) -> None:
    assert model.Estimate.of(value, n=3, interval=(0.0, 1.0)) == model.Estimate(value=None, n=3)
    assert model.Estimate.of(1.0, n=3, interval=(value, 2.0)).low is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"equity": np.array([1.0, math.nan, 1.0, 1.0])}, "equity"),
        ({"day": np.array([0, 0, 1])}, "day"),
        ({"day": np.array([0, 1, 0, 1])}, "day"),
        ({"ts_ns": np.array([2, 1, 3, 4])}, "ts_ns"),
        ({"capital": 0.0}, "capital"),
        ({"capital": math.nan}, "capital"),
        ({"benchmark_price": np.array([1.0, 2.0])}, "benchmark_price"),
        ({"benchmark_price": np.array([1.0, 0.0, 1.0, 1.0])}, "benchmark_price"),
        ({"benchmark_start": -1.0}, "benchmark_start"),
    ],
)
def test_a_history_that_cannot_be_measured_is_refused_by_its_column(
    changes: dict[str, object], field: str
) -> None:
    with pytest.raises(errors.InvalidError, match=field) as refusal:
        measured(**changes)
    assert refusal.value.facts["field"] == field


def test_a_round_trip_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(errors.InvalidError, match="before its entry"):
        trip(entry=10, leave=9, pnl=1.0)
    with pytest.raises(errors.InvalidError, match="finite"):
        trip(entry=1, leave=2, pnl=math.nan)
