"""Performance formulas. Pure: arrays in, numbers out; None where a number is undefined."""

import math

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import model

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

NANOS_PER_MINUTE = 60_000_000_000
NANOS_PER_DAY = 86_400_000_000_000
SHORTEST_YEARS = 1 / 365  # growth of less than a day is not extrapolated to a year


def simple_returns(values: Floats, *, start: float) -> Floats:
    """Return value over previous value - 1, the first against `start`.

    Parameters
    ----------
    values : array of float64, shape (n,)
        Equity or prices in time order.
    start : float
        The value before the first one, > 0.

    Returns
    -------
    array of float64, shape (n,) or shorter
        The series ends with the first value <= 0: what follows ruin has no return.
    """
    before = np.concatenate(((start,), values[:-1]))
    returns: Floats = values / np.where(before > 0.0, before, 1.0) - 1.0
    ruined = np.flatnonzero(values <= 0.0)
    return returns[: ruined[0] + 1] if ruined.size else returns


def carried(
    worth: float, scale: float | None, *, made: float, equity: float
) -> tuple[float, float | None]:
    """Carry what a first capital would have become over one bar of an account with flows.

    Parameters
    ----------
    worth : float, account currency
        What it would have become by the bar before.
    scale : float or None
        That over the account's equity then; None while nothing is left to measure.
    made : float, account currency
        The account's equity without what flowed since the bar before.
    equity : float, account currency
        The account's equity.
    """
    if scale is not None:
        worth = made * scale
    if made == equity and scale is not None:
        return worth, scale
    return worth, worth / equity if worth > 0.0 and equity > 0.0 else None


def without_flows(equity: Floats, flow: Floats, *, start: float) -> Floats:
    """Return what `start` would have become with the returns of an account that cash flows through.

    A bar's return is (equity - flow) / previous equity - 1, so that no flow is a gain or a loss.

    Parameters
    ----------
    equity : array of float64, shape (n,), account currency
        With everything that has flowed.
    flow : array of float64, shape (n,), account currency
        What flowed in (+) or out (-) since the bar before.
    start : float, account currency
        Equity before the first bar, > 0.

    Returns
    -------
    array of float64, shape (n,), account currency
        `equity` itself up to the first flow. It stays as it is while the account is empty, and
        from the first flow after ruin on.

    References
    ----------
    Dietz (1966), Pension Funds: Measuring Investment Performance: time-weighted returns.
    """
    if not flow.any():
        return equity
    worth = np.empty_like(equity)
    now = start
    scale: float | None = 1.0
    for place, (value, moved) in enumerate(zip(equity.tolist(), flow.tolist(), strict=True)):
        now, scale = carried(now, scale, made=value - moved, equity=value)
        worth[place] = now
    return worth


def day_ends(day: Ints) -> NDArray[np.intp]:
    """Return the position of the last bar of each day; `day` never falls."""
    if day.size == 0:
        return np.empty(0, dtype=np.intp)
    return np.append(np.flatnonzero(day[1:] != day[:-1]), day.size - 1)


def moments(values: Floats) -> model.Moments:
    """Return the mean and the central power sums of a series."""
    if values.size == 0:
        return model.Moments()
    mean = float(values.mean())
    deviations = values - mean
    squares = deviations * deviations
    return model.Moments(
        n=values.size,
        mean=mean,
        m2=float(squares.sum()),
        m3=float(squares @ deviations),
        m4=float(squares @ squares),
    )


def sharpe_ratio(returns: Floats, *, periods: float, risk_free: float = 0.0) -> float | None:
    """Return mean(r - rf) / sd(r - rf, ddof 1) * sqrt(periods).

    Parameters
    ----------
    returns : array of float64, shape (n,)
        Simple returns per period.
    periods : float
        Periods in a year: 252 for session markets, 365 for 24/7 ones.
    risk_free : float
        The risk-free return per period.

    Returns
    -------
    float or None
        None below two returns or without variance.

    References
    ----------
    Sharpe (1994), "The Sharpe ratio", Journal of Portfolio Management 21(1).
    """
    return sharpe_of(moments(returns - risk_free), periods=periods)


def sharpe_of(excess: model.Moments, *, periods: float) -> float | None:
    """Return the annualised Sharpe ratio of a series known by its moments."""
    deviation = excess.deviation
    if deviation is None or excess.is_flat:
        return None
    return excess.mean / deviation * math.sqrt(periods)


def volatility(returns: Floats, *, periods: float) -> float | None:
    """Return sd(r, ddof 1) * sqrt(periods); None below two returns."""
    return volatility_of(moments(returns), periods=periods)


def volatility_of(excess: model.Moments, *, periods: float) -> float | None:
    """Return the annualised volatility of a series known by its moments."""
    deviation = excess.deviation
    if deviation is None:
        return None
    return 0.0 if excess.is_flat else deviation * math.sqrt(periods)


def downside(excess: Floats) -> float:
    """Return the sum of the squared negative returns."""
    below = np.minimum(excess, 0.0)
    return float(below @ below)


def sortino_ratio(returns: Floats, *, periods: float, risk_free: float = 0.0) -> float | None:
    """Return mean(r - rf) / sqrt(mean(min(r - rf, 0)^2)) * sqrt(periods).

    None below two returns, or where no return is below the risk-free one.

    References
    ----------
    Sortino & Price (1994), "Performance measurement in a downside risk framework",
    Journal of Investing 3(3): the mean of the squares is over all returns.
    """
    excess = returns - risk_free
    return sortino_of(moments(excess), downside=downside(excess), periods=periods)


def sortino_of(excess: model.Moments, *, downside: float, periods: float) -> float | None:
    """Return the annualised Sortino ratio from the sum of the squared negative returns."""
    if excess.deviation is None:
        return None
    deviation = math.sqrt(downside / excess.n)
    return None if deviation < model.FLAT else excess.mean / deviation * math.sqrt(periods)


def max_drawdown(equity: Floats, *, capital: float) -> float | None:
    """Return the deepest fall from a running peak, as a signed fraction of that peak.

    Parameters
    ----------
    equity : array of float64, shape (n,), account currency
        Account value bar by bar.
    capital : float
        The value before the first bar, > 0: the first peak.

    Returns
    -------
    float or None
        -0.2 is a fall of 20 %; below -1 only if equity fell below zero; None without bars.

    References
    ----------
    Magdon-Ismail & Atiya (2004), "Maximum drawdown", Risk 17(10).
    """
    if equity.size == 0:
        return None
    peak = np.maximum(np.maximum.accumulate(equity), capital)
    return min(0.0, float(np.min(equity / peak - 1.0)))


def cagr(growth: float | None, *, held: int, periods: float) -> float | None:
    """Return the constant yearly rate that gives the same growth.

    Parameters
    ----------
    growth : float or None
        Final over first value - 1.
    held : int
        How many periods it took.
    periods : float
        Periods in a year.

    Returns
    -------
    float or None
        -1.0 where nothing is left; None for less than a day, or beyond a float.
    """
    if growth is None or held == 0 or held / periods < SHORTEST_YEARS * (1.0 - 1e-9):
        return None
    if growth <= -1.0:
        return -1.0
    try:
        return math.expm1(math.log1p(growth) * periods / held)
    except OverflowError:
        return None


def calmar_ratio(yearly: float | None, *, drawdown: float | None) -> float | None:
    """Return CAGR / |max drawdown|; None without a drawdown.

    References
    ----------
    Young (1991), "Calmar ratio: a smoother tool", Futures 20(1).
    """
    if yearly is None or drawdown is None or -drawdown < model.FLAT:
        return None
    return yearly / -drawdown


def information_ratio(returns: Floats, benchmark: Floats, *, periods: float) -> float | None:
    """Return mean(r - b) / sd(r - b, ddof 1) * sqrt(periods).

    None below two returns, or where the active return has no variance.

    References
    ----------
    Goodwin (1998), "The information ratio", Financial Analysts Journal 54(4).
    """
    return sharpe_of(moments(returns - benchmark), periods=periods)


def win_rate(pnl: Floats) -> float | None:
    """Return the share of round trips with P&L > 0; None without one."""
    return float(np.mean(pnl > 0.0)) if pnl.size else None


def profit_factor(pnl: Floats) -> float | None:
    """Return gross profit over gross loss; None without a loss."""
    return profit_factor_of(profit=float(pnl[pnl > 0.0].sum()), loss=float(-pnl[pnl < 0.0].sum()))


def profit_factor_of(*, profit: float, loss: float) -> float | None:
    """Return gross profit over gross loss (both >= 0); None without a loss."""
    return profit / loss if loss > 0.0 else None


def expectancy(pnl: Floats) -> float | None:
    """Return the mean P&L of a round trip, in account currency; None without one."""
    return float(pnl.mean()) if pnl.size else None


def avg_trade_duration(entry_ns: Ints, exit_ns: Ints) -> float | None:
    """Return the mean time in a round trip, in minutes; None without one."""
    return float(np.mean((exit_ns - entry_ns) / NANOS_PER_MINUTE)) if entry_ns.size else None


def minutes_each(held_ns: int, *, count: int) -> float | None:
    """Return the minutes of one of `count` round trips that took `held_ns` together."""
    return held_ns / count / NANOS_PER_MINUTE if count else None


def covered_ns(entry_ns: Ints, exit_ns: Ints) -> int:
    """Return the nanoseconds in which at least one round trip was open."""
    if entry_ns.size == 0:
        return 0
    order = np.argsort(entry_ns, kind="stable")
    starts, ends = entry_ns[order], np.maximum.accumulate(exit_ns[order])
    breaks = np.flatnonzero(starts[1:] > ends[:-1])
    first = starts[np.concatenate(((0,), breaks + 1))]
    last = ends[np.append(breaks, ends.size - 1)]
    return int((last - first).sum())


def exposure(covered: int, *, first_ns: int, last_ns: int) -> float | None:
    """Return the share of a history's time in which a closed round trip was open.

    None for a history without duration. A position still open is not a round trip yet.
    """
    span = last_ns - first_ns
    return min(1.0, covered / span) if span > 0 else None


def calendar_days(*, first_ns: int, last_ns: int) -> int:
    """Return the UTC days touched by bars closing from `first_ns` to `last_ns`.

    A bar that closes at midnight belongs to the day that ends there.
    """
    return (last_ns - 1) // NANOS_PER_DAY - (first_ns - 1) // NANOS_PER_DAY + 1
