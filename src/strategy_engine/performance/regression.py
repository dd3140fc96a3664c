"""Alpha and beta: a line by least squares, with errors that survive autocorrelation."""

import math

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import model

type Floats = NDArray[np.float64]

MAX_LAG = 24  # bounds the running form's memory; the rule below reaches it at 381,000 returns
EXACT = 1e-6  # residual below this share of the returns' deviation: nothing to judge by


def lags(n: int) -> int:
    """Return how many lags of autocorrelation are taken in for `n` returns.

    References
    ----------
    Newey & West (1994), "Automatic lag selection in covariance matrix estimation", Review of
    Economic Studies 61(4): 4 (n / 100)^(2/9), here at most `MAX_LAG`.
    """
    return max(0, min(MAX_LAG, n - 1, math.floor(4.0 * math.pow(n / 100.0, 2.0 / 9.0))))


def bartlett(lag: int) -> Floats:
    """Return the weights of autocovariances 0 to `lag`; those beyond 0 count twice."""
    weights: Floats = 2.0 * (1.0 - np.arange(lag + 1) / (lag + 1.0))
    weights[0] = 1.0
    return weights


def regress(
    returns: Floats, benchmark: Floats, *, lag: int | None = None
) -> model.Regression | None:
    """Fit returns = alpha + beta * benchmark with Newey-West errors.

    Parameters
    ----------
    returns, benchmark : array of float64, shape (n,)
        Excess returns per period, of the same periods.
    lag : int, optional
        How many autocovariances are taken in; by default `lags(n)`.

    Returns
    -------
    Regression or None
        None below two returns, or where the benchmark has no variance.

    References
    ----------
    Newey & West (1987), "A simple, positive semi-definite, heteroskedasticity and autocorrelation
    consistent covariance matrix", Econometrica 55(3); with the n / (n - 2) of small samples.
    """
    n = returns.size
    if n <= 1:
        return None
    x, y = benchmark - benchmark.mean(), returns - returns.mean()
    sxx, sxy, syy = float(x @ x), float(x @ y), float(y @ y)
    if is_flat(sxx, n=n, mean=float(benchmark.mean())):
        return None
    beta = sxy / sxx
    residual = y - beta * x
    alpha = float(returns.mean() - beta * benchmark.mean())
    if is_exact(float(residual @ residual), syy=syy, n=n):
        return model.Regression(n=n, alpha=alpha, beta=beta, alpha_error=None, beta_error=None)
    pulls = residual * x / sxx  # what each period adds to the error of beta
    lag = lags(n) if lag is None else lag
    return model.Regression(
        n=n,
        alpha=alpha,
        beta=beta,
        alpha_error=_error(residual / n - benchmark.mean() * pulls, lag=lag),
        beta_error=_error(pulls, lag=lag),
    )


def is_flat(squares: float, *, n: int, mean: float) -> bool:
    """Whether a sum of squared deviations is float noise."""
    return model.Moments(n=n, mean=mean, m2=squares).is_flat


def is_exact(residual_squares: float, *, syy: float, n: int) -> bool:
    """Whether a fit leaves nothing to judge by: no freedom, or only float noise."""
    return n <= 2 or is_flat(syy, n=n, mean=0.0) or residual_squares < EXACT * EXACT * syy  # noqa: PLR2004 - a line has two parameters


def error_of(autocovariances: Floats, *, n: int) -> float:
    """Return the standard error from the pulls' autocovariances 0 to L (sums, not means)."""
    variance = float(bartlett(autocovariances.size - 1) @ autocovariances)
    return math.sqrt(max(0.0, variance) * n / (n - 2))


def _error(pulls: Floats, *, lag: int) -> float:
    n = pulls.size
    return error_of(np.array([pulls[j:] @ pulls[: n - j] for j in range(lag + 1)]), n=n)
