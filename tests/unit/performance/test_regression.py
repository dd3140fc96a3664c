"""Alpha, beta and their errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.performance import regression

SEEDS = st.integers(0, 2**32 - 1)


def history(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    benchmark = random.normal(0.0004, 0.012, n)
    return 0.0002 + 0.7 * benchmark + random.standard_t(4, n) * 0.008, benchmark


def textbook(returns: np.ndarray, benchmark: np.ndarray, *, lag: int) -> np.ndarray:
    """Newey & West (1987) with matrices, as in Hamilton (1994), chapter 10."""
    n = returns.size
    x = np.column_stack((np.ones(n), benchmark))
    coefficients = np.linalg.lstsq(x, returns, rcond=None)[0]
    scores = x * (returns - x @ coefficients)[:, None]
    meat = scores.T @ scores
    for j in range(1, lag + 1):
        gamma = scores[j:].T @ scores[:-j]
        meat += (1.0 - j / (lag + 1.0)) * (gamma + gamma.T)
    bread = np.linalg.inv(x.T @ x)
    return np.sqrt(np.diag(bread @ meat @ bread) * n / (n - 2))


def test_the_line_is_that_of_anscombe() -> None:
    # Anscombe (1973), "Graphs in statistical analysis", set 1: y = 3 + 0.5 x
    x = np.array([10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0])
    y = np.array([8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68])
    line = regression.regress(y, x)
    assert line is not None
    assert line.alpha == pytest.approx(3.0001, abs=5e-5)
    assert line.beta == pytest.approx(0.5001, abs=5e-5)


@given(SEEDS, st.integers(0, 12))
def test_errors_are_those_of_the_textbook_in_matrices(seed: int, lag: int) -> None:
    returns, benchmark = history(seed)
    line = regression.regress(returns, benchmark, lag=lag)
    assert line is not None
    expected = textbook(returns, benchmark, lag=lag)
    assert [line.alpha_error, line.beta_error] == pytest.approx(expected, rel=1e-9)


def test_one_lag_is_the_sum_with_half_weight_on_both_sides() -> None:
    # Cross Validated 232533: for one regressor and one lag v = sum a(t)^2 + sum a(t) a(t-1), with
    # a the residual times the regressor's deviation; the error is sqrt(v n / (n - 2)) / sxx
    returns, benchmark = history(7)
    deviation = benchmark - benchmark.mean()
    slope, level = np.polyfit(benchmark, returns, 1)
    pulls = (returns - level - slope * benchmark) * deviation
    v = (pulls @ pulls + pulls[1:] @ pulls[:-1]) * 120 / 118
    line = regression.regress(returns, benchmark, lag=1)
    assert line is not None
    assert line.beta_error == pytest.approx(np.sqrt(v) / (deviation @ deviation), rel=1e-9)


def test_errors_grow_where_residuals_follow_each_other() -> None:
    random = np.random.default_rng(3)
    benchmark, noise = random.normal(0.0, 0.01, 500), random.normal(0.0, 0.01, 501)
    residual = np.cumsum(noise)[10:] - np.concatenate((np.zeros(10), np.cumsum(noise)))[10:-10]
    benchmark, residual = benchmark[:491], residual[:491]
    alone = regression.regress(residual, benchmark, lag=0)
    together = regression.regress(residual, benchmark)
    assert alone is not None
    assert together is not None
    assert alone.alpha_error is not None
    assert together.alpha_error is not None
    assert together.alpha_error > 1.5 * alone.alpha_error


@given(SEEDS, st.floats(-2.0, 2.0), st.floats(-0.01, 0.01))
def test_beta_adds_up_and_alpha_moves_with_the_mean(seed: int, slope: float, shift: float) -> None:
    returns, benchmark = history(seed)
    plain = regression.regress(returns, benchmark)
    moved = regression.regress(returns + slope * benchmark + shift, benchmark)
    assert plain is not None
    assert moved is not None
    assert moved.beta == pytest.approx(plain.beta + slope, abs=1e-9)
    assert moved.alpha == pytest.approx(plain.alpha + shift, abs=1e-9)
    assert moved.alpha_error == pytest.approx(plain.alpha_error, rel=1e-6)


def test_a_benchmark_without_variance_has_no_line() -> None:
    returns, _ = history(1)
    assert regression.regress(returns, np.full(120, 0.001)) is None
    assert regression.regress(returns[:1], returns[:1]) is None
    assert regression.regress(np.empty(0), np.empty(0)) is None


@pytest.mark.parametrize("leverage", [1.0, 0.5, 0.0])
def test_float_noise_has_no_error_to_judge_alpha_by(leverage: float) -> None:
    _, benchmark = history(2)
    line = regression.regress(leverage * benchmark, benchmark)
    assert line is not None
    assert line.beta == pytest.approx(leverage)
    assert abs(line.alpha * 252) < 1e-9
    assert (line.alpha_error, line.beta_error) == (None, None)


def test_two_returns_have_a_line_but_no_error() -> None:
    line = regression.regress(np.array([0.01, 0.02]), np.array([0.0, 0.02]))
    assert line is not None
    assert (line.alpha, line.beta) == pytest.approx((0.01, 0.5))
    assert line.alpha_error is None


@pytest.mark.parametrize(
    ("n", "expected"), [(1, 0), (2, 1), (30, 3), (100, 4), (252, 4), (1_000, 6), (10**7, 24)]
)
def test_lags_follow_the_rule_within_the_sample_and_the_limit(n: int, expected: int) -> None:
    assert regression.lags(n) == expected
