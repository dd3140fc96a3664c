"""The same figures as empyrical and NautilusTrader, or the known relation where they differ."""

import math

import empyrical
import nautilus_trader.analysis as nautilus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.performance import formulas, regression, var

DAY = formulas.NANOS_PER_DAY
EXACT = {"rel": 1e-9, "abs": 1e-9}


def series(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    n = int(random.integers(20, 400))
    benchmark = random.normal(0.0004, 0.012, n)
    return 0.0003 + 0.6 * benchmark + random.standard_t(4, n) * 0.008, benchmark


def stamped(returns: np.ndarray) -> dict[int, float]:
    """Return the returns as NautilusTrader takes them: one a UTC day."""
    return {(19_000 + place) * DAY: float(value) for place, value in enumerate(returns)}


def results(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.round(random.normal(10.0, 100.0, 50), 2)


seeds = pytest.mark.parametrize("seed", range(8))


def growth(returns: np.ndarray) -> float:
    return float(np.prod(1.0 + returns)) - 1.0


def drawdown(returns: np.ndarray) -> float | None:
    return formulas.max_drawdown(np.cumprod(1.0 + returns), capital=1.0)


@seeds
@pytest.mark.parametrize("periods", [252, 365])
def test_sharpe_sortino_and_volatility_are_those_of_both(seed: int, periods: int) -> None:
    returns, _ = series(seed)
    theirs = stamped(returns)
    sharpe = formulas.sharpe_ratio(returns, periods=periods)
    sortino = formulas.sortino_ratio(returns, periods=periods)
    volatility = formulas.volatility(returns, periods=periods)
    assert [sharpe, sortino, volatility] == pytest.approx(
        [
            empyrical.sharpe_ratio(returns, annualization=periods),
            empyrical.sortino_ratio(returns, annualization=periods),
            empyrical.annual_volatility(returns, annualization=periods),
        ],
        **EXACT,
    )
    assert [sharpe, sortino, volatility] == pytest.approx(
        [
            nautilus.SharpeRatio(periods).calculate_from_returns(theirs),
            nautilus.SortinoRatio(periods).calculate_from_returns(theirs),
            nautilus.ReturnsVolatility(periods).calculate_from_returns(theirs),
        ],
        **EXACT,
    )


@seeds
def test_a_risk_free_rate_is_taken_off_as_empyrical_does(seed: int) -> None:
    returns, _ = series(seed)
    expected = [
        empyrical.sharpe_ratio(returns, risk_free=1e-4),
        empyrical.sortino_ratio(returns, required_return=1e-4),
    ]
    ours = [
        formulas.sharpe_ratio(returns, periods=252, risk_free=1e-4),
        formulas.sortino_ratio(returns, periods=252, risk_free=1e-4),
    ]
    assert ours == pytest.approx(expected, **EXACT)


@seeds
@pytest.mark.parametrize("periods", [252, 365])
def test_drawdown_growth_and_calmar_are_those_of_both(seed: int, periods: int) -> None:
    returns, _ = series(seed)
    theirs = stamped(returns)
    yearly = formulas.cagr(growth(returns), held=returns.size, periods=periods)
    fall = drawdown(returns)
    ours = [fall, yearly, formulas.calmar_ratio(yearly, drawdown=fall)]
    assert ours == pytest.approx(
        [
            empyrical.max_drawdown(returns),
            empyrical.cagr(returns, annualization=periods),
            empyrical.calmar_ratio(returns, annualization=periods),
        ],
        **EXACT,
    )
    assert ours == pytest.approx(
        [
            nautilus.MaxDrawdown().calculate_from_returns(theirs),
            nautilus.CAGR(periods).calculate_from_returns(theirs),
            nautilus.CalmarRatio(periods).calculate_from_returns(theirs),
        ],
        **EXACT,
    )


@seeds
def test_total_return_is_that_of_empyrical(seed: int) -> None:
    returns, _ = series(seed)
    assert growth(returns) == pytest.approx(empyrical.cum_returns_final(returns), **EXACT)


@seeds
def test_beta_is_that_of_both(seed: int) -> None:
    returns, benchmark = series(seed)
    line = regression.regress(returns, benchmark)
    assert line is not None
    theirs = nautilus.BetaRatio().calculate_from_returns_with_benchmark(
        stamped(returns), stamped(benchmark)
    )
    assert [line.beta] * 2 == pytest.approx([empyrical.beta(returns, benchmark), theirs], **EXACT)


@seeds
def test_alpha_is_the_same_per_period_where_both_others_compound_it_to_a_year(seed: int) -> None:
    returns, benchmark = series(seed)
    line = regression.regress(returns, benchmark)
    assert line is not None
    compounded = (1.0 + line.alpha) ** 252 - 1.0
    theirs = nautilus.Alpha(252, 0.0).calculate_from_returns_with_benchmark(
        stamped(returns), stamped(benchmark)
    )
    assert [compounded] * 2 == pytest.approx([empyrical.alpha(returns, benchmark), theirs], **EXACT)


@seeds
def test_information_ratio_is_that_of_nautilus_and_empyricals_before_it_is_annualised(
    seed: int,
) -> None:
    returns, benchmark = series(seed)
    ours = formulas.information_ratio(returns, benchmark, periods=252)
    theirs = nautilus.InformationRatio(252).calculate_from_returns_with_benchmark(
        stamped(returns), stamped(benchmark)
    )
    assert ours == pytest.approx(theirs, **EXACT)
    assert ours == pytest.approx(
        empyrical.excess_sharpe(returns, benchmark) * math.sqrt(252), **EXACT
    )


@seeds
def test_var_and_cvar_are_empyricals_with_a_loss_counted_positive(seed: int) -> None:
    returns, _ = series(seed)
    assert var.historical_var(returns) == pytest.approx(-empyrical.value_at_risk(returns), **EXACT)
    assert var.historical_cvar(returns) == pytest.approx(
        -empyrical.conditional_value_at_risk(returns), **EXACT
    )


@seeds
def test_win_rate_and_expectancy_are_those_of_nautilus(seed: int) -> None:
    pnl = results(seed)
    assert formulas.win_rate(pnl) == pytest.approx(
        nautilus.WinRate().calculate_from_realized_pnls(pnl.tolist()), **EXACT
    )
    assert formulas.expectancy(pnl) == pytest.approx(
        nautilus.Expectancy().calculate_from_realized_pnls(pnl.tolist()), **EXACT
    )


@seeds
def test_expectancy_counts_break_even_trades_which_nautilus_leaves_out(seed: int) -> None:
    pnl = np.concatenate((results(seed), np.zeros(10)))
    theirs = nautilus.Expectancy().calculate_from_realized_pnls(pnl.tolist())
    assert theirs is not None
    assert formulas.expectancy(pnl) == pytest.approx(theirs * 50 / 60, **EXACT)
    assert formulas.win_rate(pnl) == pytest.approx(
        nautilus.WinRate().calculate_from_realized_pnls(pnl.tolist()), **EXACT
    )


@seeds
def test_profit_factor_is_the_formula_that_nautilus_applies_to_returns(seed: int) -> None:
    returns, _ = series(seed)
    assert formulas.profit_factor(returns) == pytest.approx(
        nautilus.ProfitFactor().calculate_from_returns(stamped(returns)), **EXACT
    )


def test_what_is_undefined_here_is_not_a_number_there() -> None:
    flat = np.zeros(30)
    assert formulas.sharpe_ratio(flat, periods=252) is None
    assert math.isnan(empyrical.sharpe_ratio(flat))
    assert formulas.sortino_ratio(flat, periods=252) is None
    assert math.isnan(empyrical.sortino_ratio(flat))
    assert formulas.calmar_ratio(0.1, drawdown=0.0) is None
    assert math.isnan(empyrical.calmar_ratio(np.full(30, 0.001)))


def test_a_gain_on_every_day_has_no_sortino_here_and_an_infinite_one_there() -> None:
    rising = np.array([0.01, 0.02, 0.005])
    assert formulas.sortino_ratio(rising, periods=252) is None
    assert math.isinf(empyrical.sortino_ratio(rising))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_series_measures_as_with_empyrical(seed: int) -> None:
    returns, _ = series(seed)
    assert [
        formulas.sharpe_ratio(returns, periods=252),
        formulas.sortino_ratio(returns, periods=252),
        drawdown(returns),
        var.historical_var(returns),
    ] == pytest.approx(
        [
            empyrical.sharpe_ratio(returns),
            empyrical.sortino_ratio(returns),
            empyrical.max_drawdown(returns),
            -empyrical.value_at_risk(returns),
        ],
        **EXACT,
    )
