"""How sure a number is: intervals, probabilistic and deflated Sharpe ratios, bootstrap."""

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import errors
from strategy_engine.performance import formulas, model

type Floats = NDArray[np.float64]

NORMAL = NormalDist()
CONFIDENCE = 0.95
EULER_MASCHERONI = 0.5772156649015329
NO_DOUBT = 1e-9  # a variance factor below it is two outcomes and float noise, not certainty
CHUNK = 128  # resamples at once: bounds the bootstrap's memory


def two_sided(confidence: float) -> float:
    """Return the standard normal quantile that `confidence` lies within on both sides."""
    return NORMAL.inv_cdf(0.5 + confidence / 2.0)


def student_quantile(probability: float, *, freedom: int) -> float:
    """Return the quantile of Student's t distribution, to about three digits for any freedom.

    References
    ----------
    Abramowitz & Stegun (1964), Handbook of Mathematical Functions, 26.7.5; exact for 1 and 2.
    """
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:  # noqa: PLR2004 - the second closed form
        twice = 2.0 * probability - 1.0
        return twice * math.sqrt(2.0 / (1.0 - twice * twice))
    z = NORMAL.inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, start=1))


def mean_interval(
    moments: model.Moments, *, confidence: float = CONFIDENCE
) -> model.Interval | None:
    """Return Student's interval of a mean; None below two values."""
    deviation = moments.deviation
    if deviation is None:
        return None
    error = deviation / math.sqrt(moments.n)
    return around(moments.mean, error, freedom=moments.n - 1, confidence=confidence)


def around(
    value: float, error: float, *, freedom: int, confidence: float = CONFIDENCE
) -> model.Interval:
    """Return value -/+ Student's quantile * error."""
    reach = student_quantile(0.5 + confidence / 2.0, freedom=freedom) * error
    return value - reach, value + reach


def volatility_interval(
    moments: model.Moments, *, periods: float, confidence: float = CONFIDENCE
) -> model.Interval | None:
    """Return the interval of an annualised volatility, on the log scale, for any kurtosis.

    None for a flat series, and where half the values are equal and the others too.

    References
    ----------
    Cramer (1946), Mathematical Methods of Statistics, chapter 27: a sample variance has variance
    (kurtosis - 1) sigma^4 / n to first order, so ln(sd) has (kurtosis - 1) / 4n (delta method).
    """
    deviation = moments.deviation
    if deviation is None or moments.is_flat:
        return None
    spread = moments.kurtosis - 1.0
    if spread < NO_DOUBT:
        return None
    reach = two_sided(confidence) * math.sqrt(spread / (4.0 * moments.n))
    yearly = deviation * math.sqrt(periods)
    try:
        return yearly * math.exp(-reach), yearly * math.exp(reach)
    except OverflowError:
        return None


def wilson_interval(wins: int, *, n: int, confidence: float = CONFIDENCE) -> model.Interval | None:
    """Return Wilson's score interval of a proportion; None without trials.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22(158).
    """
    if n == 0:
        return None
    z, share = two_sided(confidence), wins / n
    scale = 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / scale
    reach = z * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n)) / scale
    return (
        0.0 if wins == 0 else max(0.0, centre - reach),
        1.0 if wins == n else min(1.0, centre + reach),
    )


def sharpe_error(excess: model.Moments) -> float | None:
    """Return the standard error of a Sharpe ratio per period, for any skewness and kurtosis.

    None for a flat series, and for two outcomes whose mix leaves the ratio without an error.

    References
    ----------
    Lo (2002), "The statistics of Sharpe ratios", Financial Analysts Journal 58(4), for normal
    returns; Mertens (2002), "Comments on variance of the IID estimator in Lo (2002)", for others;
    n - 1 as in Bailey & Lopez de Prado (2012).
    """
    ratio = formulas.sharpe_of(excess, periods=1.0)
    if ratio is None:
        return None
    skewness, kurtosis = excess.skewness, excess.kurtosis
    # kurtosis >= skewness^2 + 1, so this is at least (1 - skewness * ratio / 2)^2: never below 0
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio
    return math.sqrt(spread / (excess.n - 1)) if spread > NO_DOUBT else None


def sharpe_interval(
    excess: model.Moments, *, periods: float, confidence: float = CONFIDENCE
) -> model.Interval | None:
    """Return the interval of an annualised Sharpe ratio; None where the ratio is undefined."""
    ratio, error = formulas.sharpe_of(excess, periods=1.0), sharpe_error(excess)
    if ratio is None or error is None:
        return None
    reach, yearly = two_sided(confidence) * error, math.sqrt(periods)
    return (ratio - reach) * yearly, (ratio + reach) * yearly


def probabilistic_sharpe_ratio(excess: Floats, *, threshold: float = 0.0) -> float | None:
    """Return the probability that the true Sharpe ratio is above `threshold`.

    Parameters
    ----------
    excess : array of float64, shape (n,)
        Excess returns per period.
    threshold : float
        A Sharpe ratio per period (not annualised).

    Returns
    -------
    float or None
        In [0, 1]; None below two returns or without variance.

    References
    ----------
    Bailey & Lopez de Prado (2012), "The Sharpe ratio efficient frontier", Journal of Risk 15(2).
    """
    return psr_of(formulas.moments(excess), threshold=threshold)


def psr_of(excess: model.Moments, *, threshold: float = 0.0) -> float | None:
    """Return the probabilistic Sharpe ratio of a series known by its moments."""
    ratio, error = formulas.sharpe_of(excess, periods=1.0), sharpe_error(excess)
    if ratio is None or error is None:
        return None
    return NORMAL.cdf((ratio - threshold) / error)


def expected_best_sharpe(*, trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of `trials` worthless strategies is expected to show.

    Parameters
    ----------
    trials : int
        Independent trials, >= 1; one trial has no luck to pick from: 0.
    variance : float
        Variance of the trials' Sharpe ratios, per period.

    Raises
    ------
    InvalidError
        If `trials` < 1 or `variance` < 0.

    References
    ----------
    Bailey & Lopez de Prado (2014), "The deflated Sharpe ratio", Journal of Portfolio Management
    40(5).
    """
    if trials < 1 or not variance >= 0.0:
        raise errors.InvalidError(
            f"{trials} trials with variance {variance}: give at least 1 trial and a variance >= 0",
            field="trials",
            value=trials,
        )
    if trials == 1:
        return 0.0
    gamma = EULER_MASCHERONI
    return math.sqrt(variance) * (
        (1.0 - gamma) * NORMAL.inv_cdf(1.0 - 1.0 / trials)
        + gamma * NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    )


def deflated_sharpe_ratio(
    excess: Floats, *, trials: int, variance: float | None = None
) -> float | None:
    """Return the probability that the Sharpe ratio is not merely the best of `trials`.

    Parameters
    ----------
    excess : array of float64, shape (n,)
        Excess returns per period of the chosen trial.
    trials : int
        How many were tried, this one counted.
    variance : float, optional
        Variance of the trials' Sharpe ratios, per period; by default what n returns without
        skill show: 1 / (n - 1).

    Returns
    -------
    float or None
        In [0, 1]; None below two returns or without variance.
    """
    return dsr_of(formulas.moments(excess), trials=trials, variance=variance)


def dsr_of(excess: model.Moments, *, trials: int, variance: float | None = None) -> float | None:
    """Return the deflated Sharpe ratio of a series known by its moments."""
    if excess.is_flat:
        return None
    by_chance = 1.0 / (excess.n - 1) if variance is None else variance
    return psr_of(excess, threshold=expected_best_sharpe(trials=trials, variance=by_chance))


def stationary_bootstrap(
    n: int, *, resamples: int, seed: int, mean_block: float | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield positions of resampled series, some rows at a time; every row has length `n`.

    Parameters
    ----------
    n : int
        Length of the series, >= 1.
    resamples : int
        Rows in all.
    seed : int
        The same seed gives the same rows.
    mean_block : float, optional
        Mean length of a block, >= 1; by default n^(1/3).

    References
    ----------
    Politis & Romano (1994), "The stationary bootstrap", Journal of the American Statistical
    Association 89(428): blocks of geometric length that wrap around.
    """
    random = np.random.default_rng(seed)
    block = max(1.0, n ** (1.0 / 3.0) if mean_block is None else mean_block)
    here = np.arange(n, dtype=np.int64)
    for done in range(0, resamples, CHUNK):
        shape = (min(CHUNK, resamples - done), n)
        jumps = random.random(shape) < 1.0 / block
        jumps[:, 0] = True
        starts = random.integers(0, n, shape)
        since = np.maximum.accumulate(np.where(jumps, here, 0), axis=1)
        yield (np.take_along_axis(starts, since, axis=1) + here - since) % n


def bootstrap(
    values: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    resamples: int = 1_000,
    seed: int = 0,
    mean_block: float | None = None,
) -> Floats:
    """Return `statistic` of every resampled series.

    Parameters
    ----------
    values : array of float64, shape (n,)
        A series in time order.
    statistic : callable
        Takes an array of shape (rows, n), returns one whose first axis is the rows.
    resamples, seed, mean_block
        As in `stationary_bootstrap`.
    """
    chunks = stationary_bootstrap(
        values.size, resamples=resamples, seed=seed, mean_block=mean_block
    )
    return np.concatenate([statistic(values[rows]) for rows in chunks])


def percentile_interval(draws: Floats, *, confidence: float = CONFIDENCE) -> model.Interval:
    """Return the interval that holds the middle `confidence` of the draws, shape (resamples,)."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(draws, (tail, 1.0 - tail))
    return float(low), float(high)
