"""The monitor's figures of several executions together: exposure, tails, correlation. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import var
from strategy_engine.risk.rules import Seen

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Daily = Mapping[int, float]  # returns by day

FEWEST_DAYS = 30
ALPHA = 0.05  # that a sound version is ever called outside its backtest's envelope
TUNED_DAYS = 60.0  # at which the envelope is tightest
_FLAT = 1e-18  # a variance below it is float noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One execution of several: what it is worth, what it holds, and its daily returns.

    Parameters
    ----------
    holdings : mapping
        The value of each position at its mark, signed, by instrument.
    line : str
        Versions of one line trade alike by design.
    """

    execution_id: str
    line: str
    equity: float
    holdings: Mapping[str, float]
    daily: Daily


def exposure(shares: Sequence[Share]) -> Seen:
    """Return the values of all positions without their signs, in account currency."""
    return Seen(value=_gross(shares), n=len(shares))


def concentration(shares: Sequence[Share]) -> Seen:
    """Return the share of gross exposure that the largest net position of one instrument has."""
    net: dict[str, float] = {}
    for each in shares:
        for symbol, value in each.holdings.items():
            net[symbol] = net.get(symbol, 0.0) + value
    gross = _gross(shares)
    if not gross:
        return Seen(value=0.0, n=len(shares))
    largest = max(net, key=lambda symbol: abs(net[symbol]))
    return Seen(value=abs(net[largest]) / gross, n=len(shares), told=largest)


def _gross(shares: Sequence[Share]) -> float:
    return sum(abs(value) for each in shares for value in each.holdings.values())


def tails(shares: Sequence[Share]) -> Seen:
    """Return the 1-day 95 % value at risk as a share of equity: the larger of two ways.

    Historical (the empirical quantile) and parametric (as if returns were normal), both with their
    expected shortfall, on the days that every execution with capital has; each weighs by its
    equity today.
    """
    returns = together(shares)
    told = var.tail_risk(returns, resamples=1)
    historical, parametric = told.var.value, told.parametric_var.value
    if historical is None or parametric is None:
        return Seen(value=None, n=returns.size)
    return Seen(
        value=max(historical, parametric),
        n=returns.size,
        told=f"historical {historical:.2%}, CVaR {told.cvar.value or 0.0:.2%}; parametric"
        f" {parametric:.2%}, CVaR {told.parametric_cvar.value or 0.0:.2%}; {returns.size} days",
    )


def together(shares: Sequence[Share]) -> Floats:
    """Return the returns of several executions as one, on the days that all of them have."""
    weighed = [each for each in shares if each.equity > 0]
    if not weighed:
        return np.empty(0)
    total = sum(each.equity for each in weighed)
    days = sorted(set.intersection(*(set(each.daily) for each in weighed)))
    return np.array(
        [sum(each.equity / total * each.daily[day] for each in weighed) for day in days]
    )


def correlation(
    shares: Sequence[Share], *, of: str | None = None, fewest: int = FEWEST_DAYS
) -> Seen:
    """Return the highest correlation of daily returns between executions of two lines.

    Of all pairs with enough days in common, in one product of matrices.

    Parameters
    ----------
    of : str or None
        Only pairs that this execution is one of.
    """
    values, has = _matrix(shares)
    counts = has @ has.T
    sums = values @ has.T  # of a row's returns on the days that it shares with a column
    squares = (values**2) @ has.T
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = values @ values.T - sums * sums.T / counts
        spread = squares - sums**2 / counts
        found = covariance / np.sqrt(spread * spread.T)
    is_pair = _pairs(shares, of)
    flat = spread <= _FLAT * counts
    is_known = is_pair & (counts >= fewest) & ~flat & ~flat.T & np.isfinite(found)
    if not is_known.any():
        return Seen(value=None, n=int(counts[is_pair].max()) if is_pair.any() else 0)
    best = int(np.argmax(np.where(is_known, found, -np.inf)))
    first, second = divmod(best, len(shares))
    pair = shares[first].execution_id, shares[second].execution_id
    days = int(counts[first, second])
    return Seen(
        value=max(-1.0, min(1.0, float(found[first, second]))),
        n=days,
        executions=pair,
        told=f"{pair[0]} and {pair[1]}, {days} days",
    )


def _pairs(shares: Sequence[Share], of: str | None) -> Flags:
    lines = [each.line for each in shares]
    is_pair = np.array([[one != other for other in lines] for one in lines], dtype=bool)
    if of is not None and shares:
        is_own = np.array([each.execution_id == of for each in shares])
        is_pair &= is_own[:, None] | is_own
    return is_pair


def _matrix(shares: Sequence[Share]) -> tuple[Floats, Floats]:
    days = sorted({day for each in shares for day in each.daily})
    place = {day: number for number, day in enumerate(days)}
    values, has = np.zeros((len(shares), len(days))), np.zeros((len(shares), len(days)))
    for row, each in enumerate(shares):
        for day, value in each.daily.items():
            values[row, place[day]], has[row, place[day]] = value, 1.0
    return values, has


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The daily returns of a version's backtest: mean, deviation, and how many there were."""

    mean: float
    deviation: float
    n: int


def expected(metrics: Mapping[str, Mapping[str, float | None]], periods: float) -> Expected | None:
    """Return a backtest's daily mean and deviation from its evidence; None where it has none.

    From the out-of-sample part: `sharpe_ratio` is mean / deviation x root of `periods` (days in a
    year; risk-free rate 0), `volatility` deviation x the same root, `n` the daily returns.
    """
    sharpe, volatility = metrics.get("sharpe_ratio"), metrics.get("volatility")
    if not sharpe or not volatility:
        return None
    ratio, spread, n = sharpe.get("value"), volatility.get("value"), sharpe.get("n")
    if ratio is None or not spread or n is None or n < FEWEST_DAYS:
        return None
    deviation = spread / math.sqrt(periods)
    return Expected(mean=ratio * deviation / math.sqrt(periods), deviation=deviation, n=int(n))


def envelope(live: Iterable[float], backtest: Expected) -> Seen:
    """Return how far live daily returns are from the backtest's mean, by what is allowed; 1: all.

    The sum of n daily returns is held against n times the backtest's mean. Allowed is the normal
    mixture boundary, which holds at every day together, however often one looks, with probability
    1 - ALPHA when live returns are as the backtest's; and 1.96 standard errors of its mean besides,
    which is an estimate itself.

    References
    ----------
    Robbins (1970), "Statistical methods related to the law of the iterated logarithm", Annals of
    Mathematical Statistics 41(5), example 4.
    """
    returns = list(live)
    n = len(returns)
    if not n:
        return Seen(value=None, n=0)
    away = sum(returns) - n * backtest.mean
    mixed = n + TUNED_DAYS
    unit = math.sqrt(mixed * (math.log(mixed / TUNED_DAYS) + 2.0 * math.log(1.0 / ALPHA)))
    allowed = backtest.deviation * (unit + 1.96 * n / math.sqrt(backtest.n))
    side = "below" if away < 0 else "above"
    return Seen(
        value=abs(away) / allowed,
        n=n,
        told=f"{sum(returns):+.2%} in {n} days, {side} the {n * backtest.mean:+.2%} expected by"
        f" {backtest.n} days of its backtest; up to {allowed:.2%} apart is allowed",
    )
