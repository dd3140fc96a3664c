"""What a backtest risked: limits kept, bad days, stress, and its place beside what runs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strategy_engine.core import money
from strategy_engine.market.model import Bars
from strategy_engine.matching.model import DAY_NS, Terms
from strategy_engine.matching.settings import Settings
from strategy_engine.performance import formulas, var
from strategy_engine.pipeline import history
from strategy_engine.pipeline.backtest import Ledgered
from strategy_engine.pipeline.chosen import Chosen
from strategy_engine.pipeline.history import Floats, History, Ints, Series

GAP = -0.10
VOLATILITY = 3.0
BLIND_NS = DAY_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstDay:
    """The lowest that equity stood below where its UTC day began, account currency, signed."""

    day: str
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """What an invented misfortune would have cost. `loss` is in account currency, signed."""

    name: str
    what: str
    loss: float
    share_of_equity: float
    at: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "what": self.what,
            "loss": self.loss,
            "share_of_equity": self.share_of_equity,
            "at": self.at,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunningReturns:
    """Daily returns of an execution that runs now, by UTC date; `capital` in account currency."""

    execution_id: str
    days: Ints
    returns: Floats
    capital: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A version beside what runs: how alike, and what it adds to a bad day.

    `marginal_var` is a share of the version's capital; None where too few days are shared.
    """

    correlations: Mapping[str, float | None]
    shared_days: Mapping[str, int]
    marginal_var: float | None


def largest_position(ledgered: Ledgered, terms: Mapping[str, Terms]) -> float:
    """Return the largest notional of a position at its entry, account currency."""
    largest = 0
    value: dict[str, int] = {}
    for fill in ledgered.fills:
        if not fill.opens:
            if not fill.lots_after:
                value[fill.symbol] = 0
            elif value.get(fill.symbol):
                before = abs(fill.lots_after) + fill.lots
                value[fill.symbol] = value[fill.symbol] * abs(fill.lots_after) // before
            continue
        added = terms[fill.symbol].nanos(fill.price_ticks * fill.lots)
        value[fill.symbol] = value.get(fill.symbol, 0) + added
        largest = max(largest, value[fill.symbol])
    return largest / money.NANOS


def worst_day(ledgered: Ledgered) -> WorstDay:
    """Return the day on which equity fell farthest below where the day began, at any bar's close.

    Days are UTC; a bar that closes at midnight belongs to the day that ends.
    """
    if not ledgered.close_ns.size:
        return WorstDay(day="", loss=0.0)
    days = utc_days(ledgered)
    starts = np.concatenate(((0,), np.flatnonzero(days[1:] != days[:-1]) + 1))
    opening = np.concatenate(((ledgered.capital,), ledgered.equity[starts[1:] - 1]))
    losses = np.minimum.reduceat(ledgered.equity, starts) - opening
    worst = int(np.argmin(losses))
    day = history.moment(int(days[starts[worst]]) * DAY_NS)[:10]
    return WorstDay(day=day, loss=min(0.0, float(losses[worst])))


def utc_days(ledgered: Ledgered) -> Ints:
    """Return the UTC date that each instant belongs to; midnight belongs to the day that ends."""
    return (ledgered.close_ns - 1) // DAY_NS


def stresses(
    ledgered: Ledgered, chosen: Chosen, part: History, settings: Settings
) -> tuple[Stress, ...]:
    """Return what a gap, three times the volatility, and a lost feed would have cost."""
    return (
        _gap(ledgered, part),
        _volatile(chosen, part, settings),
        _blind(ledgered, part),
    )


def company(
    days: Ints, returns: Floats, capital: float, running: Sequence[RunningReturns], fewest: int
) -> Company:
    """Compare daily returns with those of what runs, on the days that both have.

    Parameters
    ----------
    days : array of int64, shape (n,)
        UTC dates of `returns` as days since 1970, rising.
    fewest : int
        Shared days below which a comparison says nothing.
    """
    correlations: dict[str, float | None] = {}
    shared_days: dict[str, int] = {}
    for each in running:
        shared, own, other = np.intersect1d(
            days, each.days, assume_unique=True, return_indices=True
        )
        shared_days[each.execution_id] = int(shared.size)
        correlations[each.execution_id] = (
            var.correlation(returns[own], each.returns[other]) if shared.size >= fewest else None
        )
    comparable = [each for each in running if shared_days[each.execution_id] >= fewest]
    return Company(
        correlations=correlations,
        shared_days=shared_days,
        marginal_var=_marginal(days, returns, capital, comparable, fewest),
    )


def _marginal(
    days: Ints, returns: Floats, capital: float, running: Sequence[RunningReturns], fewest: int
) -> float | None:
    shared = days
    for each in running:
        shared = np.intersect1d(shared, each.days, assume_unique=True)
    if not running or shared.size < fewest:
        return None
    own = returns[np.searchsorted(days, shared)] * capital
    others = [each.returns[np.searchsorted(each.days, shared)] * each.capital for each in running]
    added = var.marginal_var(own, others)
    return None if added is None else added / capital


# --- stress


def _gap(ledgered: Ledgered, part: History) -> Stress:
    # The whole account gaps against it at once, where that hurts its equity the most.
    value = _signed_value(ledgered, part)
    loss = np.minimum(0.0, value * GAP)
    share = np.divide(loss, ledgered.equity, out=np.zeros_like(loss), where=ledgered.equity > 0)
    worst = int(np.argmin(share)) if share.size else 0
    return _stress(
        "gap",
        f"prices gap {GAP:.0%} while it holds the most; stops fill beyond the gap",
        ledgered,
        (float(loss[worst]), worst) if share.size else (0.0, None),
    )


def _volatile(chosen: Chosen, part: History, settings: Settings) -> Stress:
    wild = History(series=tuple(_wilder(each) for each in part.series))
    ledgered = chosen.replay(wild, settings)
    drawdown = formulas.max_drawdown(ledgered.equity, capital=ledgered.capital) or 0.0
    return Stress(
        name="volatility",
        what=f"the same decisions with every move {VOLATILITY:g} times as large: the drawdown",
        loss=drawdown * ledgered.capital,
        share_of_equity=drawdown,
        at="",
    )


def _wilder(each: Series) -> Series:
    # log p -> V * log p - (V - 1) * (the straight line from first to last): the same drift.
    bars = each.bars
    logs = np.log(bars.close)
    line = np.linspace(logs[0], logs[-1], logs.size)
    tick = each.terms.tick_nanos / money.NANOS

    def scaled(column: Floats) -> Floats:
        moved = np.exp(VOLATILITY * np.log(column) - (VOLATILITY - 1.0) * line)
        return np.maximum(np.rint(moved / tick), 1.0) * tick

    changed = Bars(
        ts_ns=bars.ts_ns,
        open=scaled(bars.open),
        high=scaled(bars.high),
        low=scaled(bars.low),
        close=scaled(bars.close),
        volume=bars.volume,
        timeframe_ns=bars.timeframe_ns,
    )
    return each.with_bars(changed)


def _blind(ledgered: Ledgered, part: History) -> Stress:
    # Held through the outage, stops unwatched, and marked at the first price after it.
    worst, at = 0.0, None
    for each in part.series:
        closes = each.bars.close_ns
        if not closes.size:
            continue
        after = np.minimum(np.searchsorted(closes, closes + BLIND_NS), closes.size - 1)
        moved = each.bars.close[after] - each.bars.close
        loss = _quantity(ledgered, each) * moved
        lowest = int(np.argmin(loss))
        if loss[lowest] < worst:
            worst = float(loss[lowest])
            at = int(np.searchsorted(ledgered.close_ns, closes[lowest]))
    what = "no bars for 24 hours while it holds a position; stops are not watched meanwhile"
    return _stress("feed_loss", what, ledgered, (worst, at))


def _stress(name: str, what: str, ledgered: Ledgered, found: tuple[float, int | None]) -> Stress:
    loss, at = found
    if at is None or not loss:
        return Stress(name=name, what=what, loss=0.0, share_of_equity=0.0)
    equity = float(ledgered.equity[at])
    return Stress(
        name=name,
        what=what,
        loss=loss,
        share_of_equity=loss / equity if equity > 0 else -1.0,
        at=history.moment(int(ledgered.close_ns[at])),
    )


def _quantity(ledgered: Ledgered, each: Series) -> Floats:
    lots: Floats = ledgered.held[each.symbol].astype(np.float64)
    return lots * (each.terms.lot_nanos / money.NANOS)


def _signed_value(ledgered: Ledgered, part: History) -> Floats:
    total = np.zeros(ledgered.close_ns.size)
    for each in part.series:
        if not len(each.bars):
            continue
        value = _quantity(ledgered, each) * each.bars.close
        at = np.searchsorted(each.bars.close_ns, ledgered.close_ns, side="right") - 1
        total += np.where(at < 0, 0.0, value[np.maximum(at, 0)])
    return total
