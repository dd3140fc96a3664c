"""Every formula: one worked example with its source, and what must hold for any input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strategy_engine.performance import formulas, model

RETURNS = arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.5, 0.5))
EQUITY = arrays(np.float64, st.integers(1, 60), elements=st.floats(1.0, 1e9))
PNL = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6))


def test_the_first_return_is_against_the_capital() -> None:
    returns = formulas.simple_returns(np.array([110.0, 99.0]), start=100.0)
    assert returns == pytest.approx([0.1, -0.1])


def test_no_values_have_no_returns() -> None:
    assert formulas.simple_returns(np.empty(0), start=100.0).size == 0


def test_returns_end_with_ruin() -> None:
    returns = formulas.simple_returns(np.array([50.0, -10.0, 20.0, 30.0]), start=100.0)
    assert returns == pytest.approx([-0.5, -1.2])


@given(EQUITY, st.floats(1.0, 1e9))
def test_returns_compound_back_to_the_equity(equity: np.ndarray, start: float) -> None:
    returns = formulas.simple_returns(equity, start=start)
    assert start * np.cumprod(1.0 + returns) == pytest.approx(equity, rel=1e-6)


def test_a_day_ends_with_its_last_bar() -> None:
    assert formulas.day_ends(np.array([3, 3, 4, 7, 7, 7])).tolist() == [1, 2, 5]
    assert formulas.day_ends(np.empty(0, dtype=np.int64)).size == 0


def test_sharpe_of_one_two_and_three_percent_is_two_per_period() -> None:
    # Sharpe (1994): mean over deviation; here 2 % / 1 %
    returns = np.array([0.01, 0.02, 0.03])
    assert formulas.sharpe_ratio(returns, periods=252) == pytest.approx(2.0 * math.sqrt(252))


def test_sharpe_is_of_the_return_over_the_risk_free_one() -> None:
    returns = np.array([0.01, 0.02, 0.03])
    assert formulas.sharpe_ratio(returns, periods=1, risk_free=0.005) == pytest.approx(1.5)


@given(RETURNS, st.floats(0.1, 10.0))
def test_sharpe_does_not_depend_on_leverage(returns: np.ndarray, leverage: float) -> None:
    plain = formulas.sharpe_ratio(returns, periods=252)
    levered = formulas.sharpe_ratio(returns * leverage, periods=252)
    if plain is not None and levered is not None:
        assert levered == pytest.approx(plain, rel=1e-6, abs=1e-6)


@given(RETURNS)
def test_sharpe_of_the_opposite_trade_is_the_opposite(returns: np.ndarray) -> None:
    plain = formulas.sharpe_ratio(returns, periods=252)
    opposite = formulas.sharpe_ratio(-returns, periods=252)
    assert opposite == (None if plain is None else pytest.approx(-plain))


@pytest.mark.parametrize(
    "returns", [[], [0.01], [0.01] * 30, [0.0] * 30], ids=["none", "one", "constant", "flat"]
)
def test_sharpe_and_sortino_are_undefined_without_variance(returns: list[float]) -> None:
    series = np.array(returns)
    assert formulas.sharpe_ratio(series, periods=252) is None
    assert formulas.sortino_ratio(series, periods=252) is None


def test_float_noise_is_not_variance() -> None:
    equity = 100.0 * 1.001 ** np.arange(1, 500)
    returns = formulas.simple_returns(equity, start=100.0)
    assert np.std(returns) > 0.0
    assert formulas.sharpe_ratio(returns, periods=252) is None
    assert formulas.volatility(returns, periods=252) == 0.0


def test_sortino_is_that_of_its_authors_example() -> None:
    # Rollinger & Hoffman (2013), "Sortino: a 'sharper' ratio": yearly returns, target 0, 4.417
    returns = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04])
    assert formulas.sortino_ratio(returns, periods=1) == pytest.approx(4.417, abs=5e-4)


@given(RETURNS, st.floats(0.0, 0.01))
def test_a_losing_sortino_is_never_below_minus_one_a_period(
    returns: np.ndarray, risk_free: float
) -> None:
    sharpe = formulas.sharpe_ratio(returns, periods=252, risk_free=risk_free)
    sortino = formulas.sortino_ratio(returns, periods=252, risk_free=risk_free)
    if sharpe is not None and sortino is not None and sharpe < 0.0:
        # the mean square of the losses is at least the square of a negative mean
        assert -math.sqrt(252) * (1.0 + 1e-9) <= sortino <= 0.0


def test_volatility_is_the_yearly_deviation() -> None:
    returns = np.array([0.01, 0.02, 0.03])
    assert formulas.volatility(returns, periods=252) == pytest.approx(0.01 * math.sqrt(252))
    assert formulas.volatility(np.array([0.01]), periods=252) is None


@given(RETURNS, st.floats(-0.1, 0.1))
def test_volatility_does_not_depend_on_the_mean(returns: np.ndarray, shift: float) -> None:
    plain = formulas.volatility(returns, periods=252)
    moved = formulas.volatility(returns + shift, periods=252)
    assert moved == pytest.approx(plain, abs=1e-9)


def test_drawdown_is_that_of_the_textbook_portfolio() -> None:
    # Investopedia, "Maximum drawdown": 500 to 750, 400, 600, 350, 800 thousand falls 53.33 %
    equity = np.array([750.0, 400.0, 600.0, 350.0, 800.0])
    assert formulas.max_drawdown(equity, capital=500.0) == pytest.approx(-0.533333, abs=1e-6)


def test_a_loss_from_the_capital_is_a_drawdown() -> None:
    assert formulas.max_drawdown(np.array([90.0, 95.0]), capital=100.0) == pytest.approx(-0.1)
    assert formulas.max_drawdown(np.empty(0), capital=100.0) is None


@given(EQUITY, st.floats(1.0, 1e9), st.floats(0.01, 100.0))
def test_drawdown_lies_between_a_total_loss_and_none_in_any_currency(
    equity: np.ndarray, capital: float, rate: float
) -> None:
    drawdown = formulas.max_drawdown(equity, capital=capital)
    assert drawdown is not None
    assert -1.0 < drawdown <= 0.0
    exchanged = formulas.max_drawdown(equity * rate, capital=capital * rate)
    assert exchanged == pytest.approx(drawdown, abs=1e-9)


@given(EQUITY, st.floats(1.0, 1e9))
def test_a_longer_history_has_no_smaller_drawdown(equity: np.ndarray, capital: float) -> None:
    part = formulas.max_drawdown(equity[: equity.size // 2 + 1], capital=capital)
    whole = formulas.max_drawdown(equity, capital=capital)
    assert part is not None
    assert whole is not None
    assert whole <= part


def test_cagr_is_that_of_the_textbook_investment() -> None:
    # Investopedia, "CAGR": 10,000 grows to 19,000 in three years: 23.86 %
    assert formulas.cagr(0.9, held=3, periods=1) == pytest.approx(0.2386, abs=5e-5)


@given(st.floats(-0.99, 10.0), st.integers(1, 5_000))
def test_cagr_compounds_back_to_the_growth(growth: float, held: int) -> None:
    yearly = formulas.cagr(growth, held=held, periods=252)
    if yearly is not None and yearly > -0.999999:
        assert (1.0 + yearly) ** (held / 252) - 1.0 == pytest.approx(growth, rel=1e-6, abs=1e-9)


def test_cagr_is_undefined_without_time_growth_or_a_number_to_hold_it() -> None:
    assert formulas.cagr(None, held=10, periods=252) is None
    assert formulas.cagr(0.1, held=0, periods=252) is None
    assert formulas.cagr(0.01, held=30, periods=525_600) is None
    assert formulas.cagr(1e9, held=1, periods=252) is None


def test_one_day_is_enough_for_cagr_in_both_calendars() -> None:
    assert formulas.cagr(0.001, held=1, periods=365) == pytest.approx(1.001**365 - 1.0)
    assert formulas.cagr(0.001, held=1, periods=252) == pytest.approx(1.001**252 - 1.0)


@pytest.mark.parametrize("growth", [-1.0, -1.7])
def test_cagr_of_a_ruin_is_a_total_loss(growth: float) -> None:
    assert formulas.cagr(growth, held=100, periods=252) == -1.0


def test_calmar_is_yearly_growth_over_the_drawdown() -> None:
    # Young (1991)
    assert formulas.calmar_ratio(0.3, drawdown=-0.15) == pytest.approx(2.0)


@pytest.mark.parametrize("drawdown", [None, 0.0, -1e-14])
def test_calmar_is_undefined_without_a_drawdown(drawdown: float | None) -> None:
    assert formulas.calmar_ratio(0.3, drawdown=drawdown) is None
    assert formulas.calmar_ratio(None, drawdown=-0.1) is None


def test_information_ratio_is_the_sharpe_ratio_of_the_active_return() -> None:
    # Goodwin (1998): active returns of 1, 2 and 3 %
    returns, benchmark = np.array([0.02, 0.05, 0.0]), np.array([0.01, 0.03, -0.03])
    ratio = formulas.information_ratio(returns, benchmark, periods=252)
    assert ratio == pytest.approx(2.0 * math.sqrt(252))


def test_information_ratio_is_undefined_for_the_benchmark_itself() -> None:
    returns = np.array([0.02, 0.05, 0.0])
    assert formulas.information_ratio(returns, returns, periods=252) is None


def test_trade_figures_of_five_round_trips() -> None:
    # Tharp (1998), Trade Your Way to Financial Freedom: expectancy is the mean result
    pnl = np.array([100.0, -50.0, 200.0, 0.0, -100.0])
    assert formulas.win_rate(pnl) == pytest.approx(0.4)
    assert formulas.profit_factor(pnl) == pytest.approx(2.0)
    assert formulas.expectancy(pnl) == pytest.approx(30.0)


def test_trade_figures_are_undefined_without_round_trips() -> None:
    nothing, no_time = np.empty(0), np.empty(0, dtype=np.int64)
    assert formulas.win_rate(nothing) is None
    assert formulas.profit_factor(nothing) is None
    assert formulas.expectancy(nothing) is None
    assert formulas.avg_trade_duration(no_time, no_time) is None


def test_profit_factor_is_undefined_without_a_loss() -> None:
    assert formulas.profit_factor(np.array([10.0, 0.0])) is None


@given(PNL, st.floats(0.01, 100.0))
def test_a_larger_unit_of_money_changes_only_expectancy(pnl: np.ndarray, rate: float) -> None:
    pnl = np.round(pnl, 2)
    assert formulas.win_rate(pnl * rate) == formulas.win_rate(pnl)
    factor, exchanged = formulas.profit_factor(pnl), formulas.profit_factor(pnl * rate)
    assert exchanged == (None if factor is None else pytest.approx(factor))
    expectancy = formulas.expectancy(pnl)
    assert expectancy is not None
    assert formulas.expectancy(pnl * rate) == pytest.approx(expectancy * rate, rel=1e-9, abs=1e-6)


@given(PNL)
def test_profit_factor_is_above_one_just_where_expectancy_is_positive(pnl: np.ndarray) -> None:
    pnl = np.round(pnl)  # whole numbers add up without float noise
    factor, expectancy = formulas.profit_factor(pnl), formulas.expectancy(pnl)
    assert expectancy is not None
    if factor is not None:
        assert (factor > 1.0) == (expectancy > 0.0)


def test_a_trade_lasts_the_mean_of_its_minutes() -> None:
    minute = formulas.NANOS_PER_MINUTE
    entry = np.array([0, 100], dtype=np.int64) * minute
    leave = np.array([30, 160], dtype=np.int64) * minute
    assert formulas.avg_trade_duration(entry, leave) == pytest.approx(45.0)
    assert formulas.minutes_each(90 * minute, count=2) == pytest.approx(45.0)


def test_time_in_two_positions_at_once_is_counted_once() -> None:
    entry, leave = np.array([50, 0, 5, 70]), np.array([60, 20, 10, 90])
    assert formulas.covered_ns(entry, leave) == 10 + 20 + 20
    assert formulas.covered_ns(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)) == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=20))
def test_covered_time_is_the_count_of_covered_moments(spans: list[tuple[int, int]]) -> None:
    entry = np.array([start for start, _ in spans])
    leave = entry + np.array([length for _, length in spans])
    moments = {moment for start, length in spans for moment in range(start, start + length)}
    assert formulas.covered_ns(entry, leave) == len(moments)


def test_exposure_is_the_covered_share_of_the_history() -> None:
    assert formulas.exposure(25, first_ns=0, last_ns=100) == pytest.approx(0.25)
    assert formulas.exposure(250, first_ns=0, last_ns=100) == 1.0
    assert formulas.exposure(0, first_ns=5, last_ns=5) is None


def test_a_bar_closing_at_midnight_belongs_to_the_day_that_ends() -> None:
    day = formulas.NANOS_PER_DAY
    assert formulas.calendar_days(first_ns=day, last_ns=365 * day) == 365
    assert formulas.calendar_days(first_ns=day, last_ns=day + 1) == 2


@given(RETURNS)
def test_moments_agree_with_numpy(returns: np.ndarray) -> None:
    moments = formulas.moments(returns)
    assert moments.mean == pytest.approx(np.mean(returns), abs=1e-12)
    assert moments.deviation == pytest.approx(np.std(returns, ddof=1), rel=1e-9, abs=1e-15)


@given(RETURNS)
def test_kurtosis_is_never_below_the_square_of_skewness_and_one(returns: np.ndarray) -> None:
    moments = formulas.moments(returns)
    if (moments.deviation or 0.0) > 1e-6:
        assert moments.kurtosis >= moments.skewness**2 + 1.0 - 1e-6


def test_skewness_and_kurtosis_of_two_outcomes() -> None:
    # Bernoulli with p = 1/4: skewness (1 - 2p) / sqrt(pq), kurtosis 3 + (1 - 6pq) / pq
    moments = formulas.moments(np.array([0.0, 0.0, 0.0, 1.0] * 5))
    assert moments.skewness == pytest.approx(0.5 / math.sqrt(3.0 / 16.0))
    assert moments.kurtosis == pytest.approx(3.0 + (1.0 - 18.0 / 16.0) / (3.0 / 16.0))


def test_a_flat_series_has_the_shape_of_a_normal_one() -> None:
    flat = model.Moments()
    assert (flat.skewness, flat.kurtosis, flat.deviation) == (0.0, 3.0, None)
