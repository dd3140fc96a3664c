"""Value at risk, expected shortfall, correlation and marginal VaR."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strategy_engine.core import errors
from strategy_engine.performance import var

RETURNS = arrays(np.float64, st.integers(2, 80), elements=st.floats(-0.5, 0.5))
CONFIDENCES = st.sampled_from([0.5, 0.9, 0.95, 0.975, 0.99])


def test_the_historical_var_of_a_hundred_and_one_days_is_the_sixth_worst() -> None:
    # Jorion (2007), chapter 5: the 5 % quantile of the observations, here exactly one of them
    returns = np.random.default_rng(1).permutation(np.arange(-50, 51)) / 1_000.0
    assert var.historical_var(returns) == pytest.approx(0.045)
    assert var.historical_cvar(returns) == pytest.approx((50 + 49 + 48 + 47 + 46 + 45) / 6_000.0)


def test_parametric_figures_are_the_normal_ones() -> None:
    # Jorion (2007), chapter 5: 1.645 deviations; McNeil, Frey & Embrechts (2005), 2.18: 2.063
    returns = np.array([-1.0, 1.0]) * math.sqrt(0.5) * 0.02
    assert var.parametric_var(returns) == pytest.approx(1.6449 * 0.02, abs=1e-5)
    assert var.parametric_cvar(returns) == pytest.approx(2.0627 * 0.02, abs=1e-5)


@given(RETURNS, CONFIDENCES)
def test_the_shortfall_is_never_below_the_var(returns: np.ndarray, confidence: float) -> None:
    value = var.historical_var(returns, confidence=confidence)
    shortfall = var.historical_cvar(returns, confidence=confidence)
    assert value is not None
    assert shortfall is not None
    assert -returns.max() - 1e-12 <= value <= shortfall + 1e-12
    assert shortfall <= -returns.min() + 1e-12


@given(RETURNS)
def test_the_var_is_numpys_percentile_with_the_other_sign(returns: np.ndarray) -> None:
    assert var.historical_var(returns) == pytest.approx(-np.percentile(returns, 5), abs=1e-12)


@given(RETURNS, st.floats(0.01, 10.0), st.floats(-0.1, 0.1))
def test_var_grows_with_the_position_and_falls_by_a_certain_gain(
    returns: np.ndarray, size: float, gain: float
) -> None:
    for measured in (
        var.historical_var,
        var.historical_cvar,
        var.parametric_var,
        var.parametric_cvar,
    ):
        plain = measured(returns)
        assert plain is not None
        assert measured(returns * size + gain) == pytest.approx(plain * size - gain, abs=1e-9)


def test_a_single_day_has_no_tail() -> None:
    risk = var.tail_risk(np.array([0.01]))
    assert (risk.var.value, risk.var.low, risk.cvar.value) == (None, None, None)
    assert (risk.parametric_var.value, risk.parametric_cvar.value, risk.var.n) == (None, None, 1)


def test_tail_risk_comes_with_its_interval_and_its_sample() -> None:
    returns = np.random.default_rng(4).standard_t(4, 500) * 0.01
    risk = var.tail_risk(returns)
    for estimate in (risk.var, risk.cvar):
        assert estimate.n == 500
        assert estimate.low is not None
        assert estimate.value is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high
    assert risk == var.tail_risk(returns)


def test_the_var_of_normal_returns_lies_in_its_bootstrap_interval() -> None:
    random = np.random.default_rng(8)
    risks = [var.tail_risk(random.normal(0.0, 0.01, 500), resamples=200) for _ in range(60)]
    held = [
        risk.var.low <= 0.0164485 <= risk.var.high
        for risk in risks
        if risk.var.low is not None and risk.var.high is not None
    ]
    assert np.mean(held) > 0.85


def test_correlation_is_that_of_anscombe() -> None:
    # Anscombe (1973), set 1: 0.816
    x = np.array([10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0])
    y = np.array([8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68])
    assert var.correlation(x, y) == pytest.approx(0.816, abs=5e-4)


@given(RETURNS, st.integers(0, 2**32 - 1))
def test_correlation_is_symmetric_and_bounded(returns: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).normal(size=returns.size)
    found = var.correlation(returns, other)
    assert found == var.correlation(other, returns)
    assert found is None or -1.0 <= found <= 1.0


def test_correlations_name_every_other_series() -> None:
    own = np.array([0.01, -0.02, 0.03, 0.0])
    found = var.correlations(own, {"same": own * 2, "against": -own, "flat": np.zeros(4)})
    assert found["same"] == pytest.approx(1.0)
    assert found["against"] == pytest.approx(-1.0)
    assert found["flat"] is None


def test_series_of_other_days_are_refused() -> None:
    with pytest.raises(errors.InvalidError, match="align them"):
        var.correlation(np.zeros(3), np.zeros(4))
    with pytest.raises(errors.InvalidError, match="align them"):
        var.marginal_var(np.zeros(3), [np.zeros(3), np.zeros(2)])


@given(RETURNS)
def test_the_first_execution_adds_its_own_var(returns: np.ndarray) -> None:
    assert var.marginal_var(returns, []) == pytest.approx(var.historical_var(returns), abs=1e-12)


@given(RETURNS)
def test_a_copy_adds_as_much_as_there_is_and_a_perfect_hedge_takes_it_all(
    returns: np.ndarray,
) -> None:
    alone = var.historical_var(returns)
    assert alone is not None
    assert var.marginal_var(returns, [returns]) == pytest.approx(alone, abs=1e-12)
    assert var.marginal_var(-returns, [returns]) == pytest.approx(-alone, abs=1e-12)


def test_one_day_has_no_marginal_var() -> None:
    assert var.marginal_var(np.array([0.1]), []) is None
