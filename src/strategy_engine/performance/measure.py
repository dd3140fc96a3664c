"""Metrics of a whole history: daily for validation, by the bar for live executions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import errors
from strategy_engine.performance import formulas, model, regression, statistics, var

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]


def measure(  # noqa: PLR0913 - a history is these columns; a class of them would only be unpacked
    equity: Floats,
    *,
    day: Ints,
    ts_ns: Ints,
    capital: float,
    round_trips: Sequence[model.RoundTrip],
    benchmark_price: Floats | None,
    periods: float,
    benchmark_start: float | None = None,
    risk_free: float = 0.0,
    flow: Floats | None = None,
) -> model.Metrics:
    """Measure a history by its daily returns, flat days included.

    Parameters
    ----------
    equity : array of float64, shape (n,), account currency
        Marked to market, net of costs, at every bar's close.
    day : array of int64, shape (n,)
        Trading day of every bar; a day's return is between the last bars of days.
    ts_ns : array of int64, shape (n,)
        Close of every bar, nanoseconds since 1970.
    capital : float
        Equity before the first bar, > 0.
    round_trips : sequence of RoundTrip
        Those closed within the history.
    benchmark_price : array of float64, shape (n,), or None
        What alpha, beta and the information ratio are measured against, > 0.
    periods : float
        Days in a year: 252 for session markets, 365 for 24/7 ones.
    benchmark_start : float, optional
        The first open; by default the first price.
    risk_free : float
        The yearly risk-free rate; a period has its `periods`-th part.
    flow : array of float64, shape (n,), optional, account currency
        What flowed in (+) or out (-) since the bar before: neither gain nor loss.

    Raises
    ------
    InvalidError
        If columns differ in length, time runs back, or a value is not finite or not positive
        where it must be.
    """
    _check(equity, ts_ns=ts_ns, capital=capital, benchmark=benchmark_price, start=benchmark_start)
    _check_column(day, n=equity.size, field="day")
    equity = _without_flows(equity, flow, capital=capital)
    ends = formulas.day_ends(day)
    returns = formulas.simple_returns(equity[ends], start=capital)
    return _measure(
        equity,
        ts_ns=ts_ns,
        returns=returns,
        daily=returns,
        benchmark=_benchmark(benchmark_price, ends=ends, start=benchmark_start),
        days=ends.size,
        capital=capital,
        trades=trades_of(*_columns(round_trips)),
        periods=periods,
        risk_free=risk_free,
    )


def measure_bars(  # noqa: PLR0913 - as in measure
    equity: Floats,
    *,
    ts_ns: Ints,
    capital: float,
    round_trips: Sequence[model.RoundTrip],
    benchmark_price: Floats | None,
    periods_per_year: float,
    benchmark_start: float | None = None,
    risk_free: float = 0.0,
    flow: Floats | None = None,
) -> model.Metrics:
    """Measure a live history by its bar returns, annualised by `periods_per_year` bars.

    Everything else is as in `measure`; `day_count` counts the UTC days in which a bar closed.
    """
    return measure_sums(
        _without_flows(equity, flow, capital=capital),
        ts_ns=ts_ns,
        capital=capital,
        trades=trades_of(*_columns(round_trips)),
        benchmark_price=benchmark_price,
        periods_per_year=periods_per_year,
        benchmark_start=benchmark_start,
        risk_free=risk_free,
    )


def measure_sums(  # noqa: PLR0913 - as in measure
    equity: Floats,
    *,
    ts_ns: Ints,
    capital: float,
    trades: model.Trades,
    benchmark_price: Floats | None,
    periods_per_year: float,
    benchmark_start: float | None = None,
    risk_free: float = 0.0,
) -> model.Metrics:
    """Measure as `measure_bars` does a history whose round trips are summed up already."""
    _check(equity, ts_ns=ts_ns, capital=capital, benchmark=benchmark_price, start=benchmark_start)
    every = np.arange(equity.size)
    ends = formulas.day_ends((ts_ns - 1) // formulas.NANOS_PER_DAY)
    return _measure(
        equity,
        ts_ns=ts_ns,
        returns=formulas.simple_returns(equity, start=capital),
        daily=formulas.simple_returns(equity[ends], start=capital),
        benchmark=_benchmark(benchmark_price, ends=every, start=benchmark_start),
        days=ends.size,
        capital=capital,
        trades=trades,
        periods=periods_per_year,
        risk_free=risk_free,
    )


def conclude(evidence: model.Evidence, *, periods: float) -> model.Metrics:
    """Return the metrics that follow from a history's sufficient statistics."""
    excess, trades, n = evidence.excess, evidence.trades, evidence.excess.n
    yearly = formulas.cagr(evidence.growth, held=n, periods=periods)
    drawdown = evidence.max_drawdown
    var_95, cvar_95 = var.ordered_tail(evidence.daily)
    return model.Metrics(
        total_return=model.Estimate.of(evidence.growth, n=n),
        sharpe_ratio=_sharpe(excess, periods=periods),
        sortino_ratio=model.Estimate.of(
            formulas.sortino_of(excess, downside=evidence.downside, periods=periods), n=n
        ),
        max_drawdown=model.Estimate.of(drawdown, n=evidence.bars),
        volatility=model.Estimate.of(
            formulas.volatility_of(excess, periods=periods),
            n=n,
            interval=statistics.volatility_interval(excess, periods=periods),
        ),
        information_ratio=_sharpe(evidence.active or model.Moments(), periods=periods),
        calmar_ratio=model.Estimate.of(formulas.calmar_ratio(yearly, drawdown=drawdown), n=n),
        cagr=model.Estimate.of(yearly, n=n),
        trade_count=trades.pnl.n,
        day_count=evidence.days,
        return_count=n,
        duration_days=formulas.calendar_days(first_ns=evidence.first_ns, last_ns=evidence.last_ns)
        if evidence.bars
        else 0,
        var_95=var_95,
        cvar_95=cvar_95,
        **_of_trades(evidence),
        **_of_line(evidence.line, periods=periods),
    )


def _sharpe(excess: model.Moments, *, periods: float) -> model.Estimate:
    return model.Estimate.of(
        formulas.sharpe_of(excess, periods=periods),
        n=excess.n,
        interval=statistics.sharpe_interval(excess, periods=periods),
    )


def _of_trades(evidence: model.Evidence) -> dict[str, model.Estimate]:
    trades, n = evidence.trades, evidence.trades.pnl.n
    return {
        "win_rate": model.Estimate.of(
            trades.wins / n if n else None,
            n=n,
            interval=statistics.wilson_interval(trades.wins, n=n),
        ),
        "profit_factor": model.Estimate.of(
            formulas.profit_factor_of(profit=trades.gross_profit, loss=trades.gross_loss), n=n
        ),
        "expectancy": model.Estimate.of(
            trades.pnl.mean if n else None,
            n=n,
            interval=statistics.mean_interval(trades.pnl),
        ),
        "avg_trade_duration": model.Estimate.of(
            formulas.minutes_each(trades.held_ns, count=n), n=n
        ),
        "exposure": model.Estimate.of(
            formulas.exposure(
                trades.covered_ns, first_ns=evidence.first_ns, last_ns=evidence.last_ns
            ),
            n=n,
        ),
    }


def _of_line(line: model.Regression | None, *, periods: float) -> dict[str, model.Estimate]:
    if line is None:
        return dict.fromkeys(("alpha", "alpha_t", "beta"), model.Estimate(value=None, n=0))
    n, error = line.n, line.alpha_error
    yearly = line.alpha * periods
    return {
        "alpha": model.Estimate.of(
            yearly, n=n, interval=_around(yearly, error and error * periods, n=n)
        ),
        "alpha_t": model.Estimate.of(line.alpha / error if error else None, n=n),
        "beta": model.Estimate.of(
            line.beta, n=n, interval=_around(line.beta, line.beta_error, n=n)
        ),
    }


def _around(value: float, error: float | None, *, n: int) -> model.Interval | None:
    return None if error is None else statistics.around(value, error, freedom=n - 2)


def _measure(  # noqa: PLR0913 - the common end of both forms
    equity: Floats,
    *,
    ts_ns: Ints,
    returns: Floats,
    daily: Floats,
    benchmark: Floats | None,
    days: int,
    capital: float,
    trades: model.Trades,
    periods: float,
    risk_free: float,
) -> model.Metrics:
    excess = returns - risk_free / periods
    market = None if benchmark is None else benchmark[: returns.size]
    bars = equity.size
    evidence = model.Evidence(
        bars=bars,
        days=days,
        first_ns=int(ts_ns[0]) if bars else 0,
        last_ns=int(ts_ns[-1]) if bars else 0,
        growth=float(equity[-1]) / capital - 1.0 if bars else None,
        max_drawdown=formulas.max_drawdown(equity, capital=capital),
        excess=formulas.moments(excess),
        downside=formulas.downside(excess),
        daily=np.sort(daily).tolist(),
        trades=trades,
        active=None if market is None else formulas.moments(returns - market),
        line=None if market is None else regression.regress(excess, market - risk_free / periods),
    )
    return conclude(evidence, periods=periods)


def _without_flows(equity: Floats, flow: Floats | None, *, capital: float) -> Floats:
    if flow is None:
        return equity
    if flow.shape != equity.shape or not np.all(np.isfinite(flow)):
        raise errors.InvalidError(
            f"flow has shape {flow.shape}; give {equity.size} finite amounts", field="flow"
        )
    return formulas.without_flows(equity, flow, start=capital)


def _benchmark(
    price: Floats | None, *, ends: NDArray[np.intp], start: float | None
) -> Floats | None:
    if price is None or price.size == 0:
        return None
    first = float(price[0]) if start is None else start
    return formulas.simple_returns(price[ends], start=first)


def _columns(round_trips: Sequence[model.RoundTrip]) -> tuple[Ints, Ints, Floats]:
    n = len(round_trips)
    entry = np.fromiter((trip.entry_ns for trip in round_trips), dtype=np.int64, count=n)
    leave = np.fromiter((trip.exit_ns for trip in round_trips), dtype=np.int64, count=n)
    pnl = np.fromiter((trip.pnl for trip in round_trips), dtype=np.float64, count=n)
    return entry, leave, pnl


def trades_of(entry: Ints, leave: Ints, pnl: Floats) -> model.Trades:
    """Return the sums over round trips, which are given by columns in any order."""
    return model.Trades(
        wins=int(np.count_nonzero(pnl > 0.0)),
        gross_profit=float(pnl[pnl > 0.0].sum()),
        gross_loss=float(-pnl[pnl < 0.0].sum()),
        held_ns=int((leave - entry).sum()),
        covered_ns=formulas.covered_ns(entry, leave),
        pnl=formulas.moments(pnl),
    )


def _check(
    equity: Floats, *, ts_ns: Ints, capital: float, benchmark: Floats | None, start: float | None
) -> None:
    if not np.all(np.isfinite(equity)):
        raise errors.InvalidError("equity holds a value that is not finite", field="equity")
    _check_column(ts_ns, n=equity.size, field="ts_ns")
    check_positive(capital, field="capital")
    if start is not None:
        check_positive(start, field="benchmark_start")
    if benchmark is None:
        return
    if benchmark.shape != equity.shape or not np.all((benchmark > 0.0) & np.isfinite(benchmark)):
        raise errors.InvalidError(
            f"benchmark_price has shape {benchmark.shape}; give {equity.size} prices > 0",
            field="benchmark_price",
        )


def _check_column(values: Ints, *, n: int, field: str) -> None:
    if values.shape != (n,) or np.any(values[1:] < values[:-1]):
        raise errors.InvalidError(
            f"{field} has shape {values.shape}; give {n} values that never fall, one a bar",
            field=field,
        )


def check_positive(value: float, *, field: str) -> None:
    """Refuse a start that nothing can be measured against."""
    if not 0.0 < value < float("inf"):
        raise errors.InvalidError(
            f"{field} is {value}; it must be a finite number > 0", field=field, value=value
        )
