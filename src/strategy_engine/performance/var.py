"""Value at risk and expected shortfall of a period's return: positive is a loss, a fraction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import errors
from strategy_engine.performance import formulas, model, statistics

type Floats = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class TailRisk:
    """What a bad day costs: historical with a bootstrap interval, and as if returns were normal."""

    confidence: float
    var: model.Estimate
    cvar: model.Estimate
    parametric_var: model.Estimate
    parametric_cvar: model.Estimate


def tail_risk(
    returns: Floats, *, confidence: float = CONFIDENCE, resamples: int = 1_000, seed: int = 0
) -> TailRisk:
    """Return all four numbers of a series of daily returns, undefined below two of them."""
    n = returns.size
    var_interval, cvar_interval = _intervals(
        returns, confidence=confidence, resamples=resamples, seed=seed
    )
    historical = historical_var(returns, confidence=confidence)
    shortfall = historical_cvar(returns, confidence=confidence)
    return TailRisk(
        confidence=confidence,
        var=model.Estimate.of(historical, n=n, interval=var_interval),
        cvar=model.Estimate.of(shortfall, n=n, interval=cvar_interval),
        parametric_var=model.Estimate.of(parametric_var(returns, confidence=confidence), n=n),
        parametric_cvar=model.Estimate.of(parametric_cvar(returns, confidence=confidence), n=n),
    )


def historical_var(returns: Floats, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the loss that `confidence` of the periods stayed within; None below two returns.

    References
    ----------
    Jorion (2007), Value at Risk, 3rd edition, chapter 5 (the empirical quantile); between two
    observations by straight line (Hyndman & Fan 1996, definition 7).
    """
    return float(_tails(returns, confidence)[0]) if returns.size > 1 else None


def historical_cvar(returns: Floats, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the mean loss of the worst 1 - `confidence` of the periods; None below two returns.

    The tail holds the floor((n - 1)(1 - confidence)) + 1 lowest returns, so it is never below
    the historical VaR.

    References
    ----------
    Rockafellar & Uryasev (2002), "Conditional value-at-risk for general loss distributions",
    Journal of Banking & Finance 26(7).
    """
    return float(_tails(returns, confidence)[1]) if returns.size > 1 else None


def ordered_tail(
    ordered: Sequence[float], *, confidence: float = CONFIDENCE
) -> tuple[model.Estimate, model.Estimate]:
    """Return the historical VaR and CVaR of returns in order, in time that does not grow with them.

    The interval of the VaR is between two of the returns, for whatever distribution they have; it
    needs about 120 of them. The CVaR has none.

    References
    ----------
    Conover (1999), Practical Nonparametric Statistics, 3rd edition, section 3.2.
    """
    n = len(ordered)
    if n <= 1:
        return model.Estimate(value=None, n=n), model.Estimate(value=None, n=n)
    below, above, share = _places(n - 1, confidence)
    low, high = ordered[below], ordered[above]
    tail = ordered[: below + 1]
    return (
        model.Estimate.of(
            -(low + (high - low) * share), n=n, interval=_between_ranks(ordered, confidence)
        ),
        model.Estimate.of(-math.fsum(tail) / len(tail), n=n),
    )


def parametric_var(returns: Floats, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the VaR of a normal distribution with the returns' mean and deviation (ddof 1).

    References
    ----------
    Jorion (2007), Value at Risk, 3rd edition, chapter 5.
    """
    moments = formulas.moments(returns)
    deviation = moments.deviation
    if deviation is None:
        return None
    return -moments.mean - deviation * statistics.NORMAL.inv_cdf(1.0 - confidence)


def parametric_cvar(returns: Floats, *, confidence: float = CONFIDENCE) -> float | None:
    """Return the expected shortfall of a normal distribution with the returns' mean and deviation.

    References
    ----------
    McNeil, Frey & Embrechts (2005), Quantitative Risk Management, example 2.18.
    """
    moments = formulas.moments(returns)
    deviation = moments.deviation
    if deviation is None:
        return None
    tail = 1.0 - confidence
    density = statistics.NORMAL.pdf(statistics.NORMAL.inv_cdf(tail))
    return -moments.mean + deviation * density / tail


def correlation(first: Floats, second: Floats) -> float | None:
    """Return Pearson's correlation of two series of the same periods; None where one is flat."""
    _check_aligned(first, (second,))
    own, other = formulas.moments(first), formulas.moments(second)
    if own.is_flat or other.is_flat:
        return None
    product = float((first - own.mean) @ (second - other.mean))
    return max(-1.0, min(1.0, product / float(np.sqrt(own.m2) * np.sqrt(other.m2))))


def correlations(own: Floats, others: Mapping[str, Floats]) -> dict[str, float | None]:
    """Return the correlation of `own` with every other series."""
    return {name: correlation(own, returns) for name, returns in others.items()}


def marginal_var(
    own: Floats, others: Sequence[Floats], *, confidence: float = CONFIDENCE
) -> float | None:
    """Return how much `own` adds to the historical VaR of what runs already; None below two days.

    Parameters
    ----------
    own : array of float64, shape (n,)
        Daily results on the common base: P&L in account currency, or returns times the share of
        the whole capital.
    others : sequence of array of float64, shape (n,)
        The same days of what runs already, on the same base.

    Returns
    -------
    float or None
        On the same base; negative where `own` hedges.

    References
    ----------
    Jorion (2007), Value at Risk, 3rd edition, chapter 7, where it is called incremental VaR.
    """
    _check_aligned(own, others)
    if own.size <= 1:
        return None
    before = np.sum(others, axis=0) if others else np.zeros_like(own)
    return float(_tails(before + own, confidence)[0] - _tails(before, confidence)[0])


def _tails(returns: Floats, confidence: float) -> tuple[Floats, Floats]:
    below, above, share = _places(returns.shape[-1] - 1, confidence)
    ordered = np.partition(returns, (below, above), axis=-1)
    low, high = ordered[..., below], ordered[..., above]
    var = -(low + (high - low) * share)
    return var, -ordered[..., : below + 1].mean(axis=-1)


def _places(last: int, confidence: float) -> tuple[int, int, float]:
    """Return between which two of the ordered returns the quantile lies, and how far."""
    place = last * (1.0 - confidence)
    below = int(place + 1e-9)  # (n - 1) * 0.05 falls short of a whole number by float noise
    return below, min(below + 1, last), max(0.0, place - below)


def _between_ranks(ordered: Sequence[float], confidence: float) -> model.Interval | None:
    n, tail = len(ordered), 1.0 - confidence
    reach = statistics.two_sided(statistics.CONFIDENCE) * math.sqrt(n * tail * confidence)
    first, last = math.floor(n * tail - reach), math.ceil(n * tail + reach)
    if first < 1 or last > n:
        return None
    return -ordered[last - 1], -ordered[first - 1]


def _intervals(
    returns: Floats, *, confidence: float, resamples: int, seed: int
) -> tuple[model.Interval | None, model.Interval | None]:
    if returns.size <= 1:
        return None, None
    draws = statistics.bootstrap(
        returns,
        lambda rows: np.stack(_tails(rows, confidence), axis=1),
        resamples=resamples,
        seed=seed,
    )
    var, cvar = draws[:, 0], draws[:, 1]
    return statistics.percentile_interval(var), statistics.percentile_interval(cvar)


def _check_aligned(own: Floats, others: Sequence[Floats]) -> None:
    for other in others:
        if other.shape != own.shape:
            raise errors.InvalidError(
                f"series of {own.size} and {other.size} periods; align them on the same periods",
                field="returns",
            )
