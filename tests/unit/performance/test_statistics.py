"""Intervals and probabilities, against their authors' own figures."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strategy_engine.core import errors
from strategy_engine.performance import formulas, model, statistics

RETURNS = arrays(np.float64, st.integers(3, 60), elements=st.floats(-0.5, 0.5))


def shaped(*, ratio: float, n: int, skewness: float = 0.0, kurtosis: float = 3.0) -> model.Moments:
    """Return the moments of n returns with deviation 1 (ddof 1) and the given shape."""
    m2 = float(n - 1)
    variance = m2 / n
    return model.Moments(
        n=n,
        mean=ratio,
        m2=m2,
        m3=skewness * n * variance**1.5,
        m4=kurtosis * n * variance**2,
    )


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_those_of_newcombe(wins: int, n: int, low: float, high: float) -> None:
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
    assert statistics.wilson_interval(wins, n=n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_wilson_interval_holds_its_share_and_mirrors(case: tuple[int, int]) -> None:
    wins, n = case
    low, high = statistics.wilson_interval(wins, n=n) or (math.nan, math.nan)
    assert 0.0 <= low <= wins / n <= high <= 1.0
    mirrored = statistics.wilson_interval(n - wins, n=n)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low))


def test_no_trades_have_no_interval() -> None:
    assert statistics.wilson_interval(0, n=0) is None


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 30, 1_000])
@pytest.mark.parametrize("probability", [0.025, 0.9, 0.975])
def test_student_quantiles_are_true_to_three_digits(freedom: int, probability: float) -> None:
    expected = scipy.stats.t.ppf(probability, freedom)
    assert statistics.student_quantile(probability, freedom=freedom) == pytest.approx(
        expected, rel=2e-3
    )


def test_the_interval_of_a_mean_is_students() -> None:
    # Student (1908), "The probable error of a mean", extra sleep of ten patients: 0.75, sd 1.789
    sleep = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    interval = statistics.mean_interval(formulas.moments(sleep))
    expected = scipy.stats.ttest_1samp(sleep, 0.0).confidence_interval()
    assert interval == pytest.approx((expected.low, expected.high), rel=1e-3)
    assert statistics.mean_interval(formulas.moments(sleep[:1])) is None


@pytest.mark.parametrize(
    ("ratio", "n", "expected"),
    [(0.5, 12, 0.306), (0.5, 60, 0.137), (1.5, 60, 0.188), (3.0, 500, 0.105)],
)
def test_sharpe_errors_are_those_of_lo_with_n_less_one(
    ratio: float, n: int, expected: float
) -> None:
    # Lo (2002), table 1: standard error of the Sharpe ratio of n normal returns
    error = statistics.sharpe_error(shaped(ratio=ratio, n=n))
    assert error is not None
    assert error * math.sqrt((n - 1) / n) == pytest.approx(expected, abs=5e-4)


@given(RETURNS, st.floats(1.0, 365.0))
def test_a_sharpe_interval_is_around_the_ratio(returns: np.ndarray, periods: float) -> None:
    moments = formulas.moments(returns)
    ratio = formulas.sharpe_of(moments, periods=periods)
    interval = statistics.sharpe_interval(moments, periods=periods)
    assert ratio is not None or interval is None
    if ratio is not None and interval is not None:
        assert sum(interval) / 2.0 == pytest.approx(ratio, rel=1e-9, abs=1e-9)
        assert interval[0] <= interval[1]


def test_sharpe_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(11)
    rows = random.standard_t(6, (2_000, 250)) * 0.01 + 0.0008
    truth = 0.0008 / (0.01 * math.sqrt(6.0 / 4.0)) * math.sqrt(252)
    intervals = [statistics.sharpe_interval(formulas.moments(row), periods=252) for row in rows]
    held = np.mean([low <= truth <= high for low, high in filter(None, intervals)])
    assert 0.935 < held < 0.965


def test_volatility_intervals_hold_the_truth_of_fat_tails_too() -> None:
    random = np.random.default_rng(12)
    rows = random.standard_t(9, (2_000, 500)) * 0.01
    truth = 0.01 * math.sqrt(9.0 / 7.0) * math.sqrt(252)
    intervals = [statistics.volatility_interval(formulas.moments(row), periods=252) for row in rows]
    held = np.mean([low <= truth <= high for low, high in filter(None, intervals)])
    assert 0.92 < held < 0.965


def test_two_outcomes_are_no_certainty() -> None:
    # half up, half down: kurtosis is 1, and the formula's error of the deviation is 0
    even = formulas.moments(np.array([0.01, -0.02] * 3))
    assert statistics.volatility_interval(even, periods=252) is None
    # two outcomes with skewness s and mean 2 / s deviations: the error of their ratio is 0
    skewness = 1.5
    certain = shaped(ratio=2.0 / skewness, n=50, skewness=skewness, kurtosis=skewness**2 + 1.0)
    assert statistics.sharpe_error(certain) is None
    assert statistics.sharpe_interval(certain, periods=252) is None
    assert statistics.psr_of(certain) is None


def test_a_flat_series_has_no_intervals() -> None:
    flat = formulas.moments(np.zeros(50))
    assert statistics.sharpe_interval(flat, periods=252) is None
    assert statistics.volatility_interval(flat, periods=252) is None
    assert statistics.psr_of(flat) is None
    assert statistics.dsr_of(flat, trials=5) is None


def test_psr_is_that_of_its_authors_hedge_fund() -> None:
    # Bailey & Lopez de Prado (2012): 24 months at 0.458 a month; normal returns give
    # 0.982, the fund's own skewness and kurtosis 0.913
    normal = shaped(ratio=0.458, n=24)
    fund = shaped(ratio=0.458, n=24, skewness=-2.448, kurtosis=10.164)
    assert statistics.psr_of(normal) == pytest.approx(0.982, abs=5e-4)
    assert statistics.psr_of(fund) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "expected"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_dsr_is_that_of_its_authors_example(
    trials: int, skewness: float, kurtosis: float, expected: float
) -> None:
    # Bailey & Lopez de Prado (2014), "A numerical example": five years of 250 days, yearly Sharpe
    # 2.5, yearly variance of the trials 1/2
    chosen = shaped(ratio=2.5 / math.sqrt(250), n=1250, skewness=skewness, kurtosis=kurtosis)
    dsr = statistics.dsr_of(chosen, trials=trials, variance=0.5 / 250)
    assert dsr == pytest.approx(expected, abs=5e-5)


def test_the_best_of_a_hundred_is_that_of_its_authors_example() -> None:
    # the same example: the expected maximum is 0.1132 a day
    best = statistics.expected_best_sharpe(trials=100, variance=0.5 / 250)
    assert best == pytest.approx(0.1132, abs=5e-5)


@given(RETURNS, st.integers(1, 1_000))
def test_more_trials_never_make_a_result_more_credible(returns: np.ndarray, trials: int) -> None:
    few = statistics.deflated_sharpe_ratio(returns, trials=trials)
    many = statistics.deflated_sharpe_ratio(returns, trials=trials + 1)
    assert (few is None) == (many is None)
    if few is not None and many is not None:
        assert 0.0 <= many <= few <= 1.0


@given(RETURNS)
def test_one_trial_is_deflated_by_nothing(returns: np.ndarray) -> None:
    assert statistics.deflated_sharpe_ratio(
        returns, trials=1
    ) == statistics.probabilistic_sharpe_ratio(returns)


@pytest.mark.parametrize(("trials", "variance"), [(0, 1.0), (-3, 1.0), (10, -0.1), (10, math.nan)])
def test_impossible_trials_are_refused(trials: int, variance: float) -> None:
    with pytest.raises(errors.InvalidError, match="at least 1 trial"):
        statistics.expected_best_sharpe(trials=trials, variance=variance)


def test_a_resample_is_made_of_runs_of_the_given_mean_length() -> None:
    rows = np.concatenate(
        list(statistics.stationary_bootstrap(200, resamples=300, seed=5, mean_block=8.0))
    )
    assert rows.shape == (300, 200)
    assert rows.min() >= 0
    assert rows.max() < 200
    follows = np.mean((rows[:, 1:] - rows[:, :-1]) % 200 == 1)
    # a run goes on with 7/8, and one start in 200 happens to continue it
    assert follows == pytest.approx(7 / 8 + 1 / 8 / 200, abs=0.01)


def test_every_position_is_drawn_equally_often() -> None:
    rows = np.concatenate(list(statistics.stationary_bootstrap(20, resamples=5_000, seed=6)))
    counts = np.bincount(rows.ravel(), minlength=20) / rows.size
    assert counts == pytest.approx(np.full(20, 0.05), abs=0.003)


def test_the_same_seed_gives_the_same_draws_and_another_one_others() -> None:
    values = np.random.default_rng(1).normal(size=50)
    first = statistics.bootstrap(values, lambda rows: rows.mean(axis=1), seed=3)
    again = statistics.bootstrap(values, lambda rows: rows.mean(axis=1), seed=3)
    other = statistics.bootstrap(values, lambda rows: rows.mean(axis=1), seed=4)
    assert first.shape == (1_000,)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_bootstrap_finds_the_error_of_a_mean() -> None:
    # Politis & Romano (1994): for independent values the error of a mean is sd / sqrt(n)
    values = np.random.default_rng(2).normal(0.0, 1.0, 400)
    draws = statistics.bootstrap(values, lambda rows: rows.mean(axis=1), mean_block=1.0)
    assert draws.std() == pytest.approx(values.std() / 20.0, rel=0.1)
    low, high = statistics.percentile_interval(draws)
    assert low < values.mean() < high
