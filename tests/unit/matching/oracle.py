"""A second opinion on the signal path, written from the rules in words and from no code of ours.

The words: a decision is taken on a bar's close; a market order fills at the next bar's open, moved
against the trader by the slippage; the fee is a share of what was traded. BUY opens a long if flat
and closes a short first; SELL closes a long, and opens a short where shorts are allowed. An entry
is a share of the equity at the decision's close, in whole lots, and never costs more than the cash.
A stop and a target lie at a fraction of the entry price. They are watched inside every bar from the
entry's own on: a gap fills at the open, a bar that touches both counts as the stop; the stop slips,
the target does not. Prices are whole ticks: slippage rounds against the trader, levels to the
nearest tick (a half to the even one), fees to the nearest billionth.

numpy finds where a path meets a level; money is exact fractions.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

HOLD, BUY, SELL = 0, 1, -1
NEVER = 1 << 60
NANO = 10**9


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Prices in ticks, one row a bar."""

    open: NDArray[np.int64]
    high: NDArray[np.int64]
    low: NDArray[np.int64]
    close: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Fractions; `lot_value` is the money that one lot is worth at a price of one tick."""

    size: Fraction
    stop: Fraction | None
    target: Fraction | None
    slippage: Fraction
    fee: Fraction
    lot_value: Fraction
    allow_short: bool


@dataclass(frozen=True, kw_only=True)
class Trade:
    """What happened in a bar: `why` is signal, stop_loss or take_profit; `sign` +1 bought."""

    bar: int
    sign: int
    lots: int
    price: int
    why: str


class Oracle:
    """Walks from trade to trade, not from bar to bar."""

    def __init__(self, bars: Bars, words: NDArray[np.int64], capital: int, costs: Costs) -> None:
        self.bars, self.words, self.costs = bars, words, costs
        self.cash = Fraction(capital)
        self.trades: list[Trade] = []

    def run(self) -> list[Trade]:
        after = self._first(0, self._entries())
        while after + 1 < self.words.size:
            after = self._round_trip(after, int(self.words[after]))
        return self.trades

    def _entries(self) -> NDArray[np.bool_]:
        return (self.words == BUY) | ((self.words == SELL) & self.costs.allow_short)

    def _first(self, start: int, hits: NDArray[np.bool_]) -> int:
        found = np.flatnonzero(hits[start:])
        return start + int(found[0]) if found.size else NEVER

    def _round_trip(self, decided: int, sign: int) -> int:
        """Trade from an entry to its exit; return where the next entry is decided."""
        wanted = self._wanted(decided, self.cash)
        while True:
            lots, price = self._enter(decided + 1, sign, wanted)
            if not lots:
                return self._first(decided + 1, self._entries())
            # Levels from the exact price paid.
            touched, why, level = self._protected_until(decided + 1, sign, price)
            turned = self._first(decided + 1, self.words == -sign)
            if touched <= turned:  # by the close of that bar nobody had decided otherwise
                if touched == NEVER:
                    return NEVER
                self._leave(touched, sign, lots, level, why)
                return self._first(touched, self._entries())
            if turned + 1 >= self.words.size:
                return NEVER
            worth = self.cash + sign * lots * self.costs.lot_value * int(self.bars.close[turned])
            wanted = self._wanted(turned, worth)
            self._leave(turned + 1, sign, lots, int(self.bars.open[turned + 1]), "signal")
            if sign == BUY and not self.costs.allow_short:
                return self._first(turned + 1, self._entries())
            decided, sign = turned, -sign

    def _wanted(self, decided: int, equity: Fraction) -> int:
        lot = self.costs.lot_value * int(self.bars.close[decided])
        return max(0, math.floor(math.floor(self.costs.size * equity * NANO) / (lot * NANO)))

    def _enter(self, bar: int, sign: int, wanted: int) -> tuple[int, int]:
        price = self._slipped(int(self.bars.open[bar]), sign)
        lot = self.costs.lot_value * price
        most = math.floor(math.floor(self.cash * NANO / (1 + self.costs.fee)) / (lot * NANO))
        lots = max(0, min(wanted, most))
        if lots:
            self._trade(Trade(bar=bar, sign=sign, lots=lots, price=price, why="signal"))
        return lots, price

    def _leave(self, bar: int, sign: int, lots: int, price: int, why: str) -> None:
        at = price if why == "take_profit" else self._slipped(price, -sign)
        self._trade(Trade(bar=bar, sign=-sign, lots=lots, price=at, why=why))

    def _trade(self, trade: Trade) -> None:
        value = Fraction(round(self.costs.lot_value * trade.lots * trade.price * NANO), NANO)
        fee = Fraction(round(value * self.costs.fee * NANO), NANO)
        self.cash -= trade.sign * value + fee
        self.trades.append(trade)

    def _slipped(self, price: int, sign: int) -> int:
        if sign == BUY:
            return math.ceil(price * (1 + self.costs.slippage))
        return max(1, math.floor(price * (1 - self.costs.slippage)))

    def _protected_until(self, start: int, sign: int, entry: int) -> tuple[int, str, int]:
        """Return the first bar that touches the stop or the target, which, and at what price."""
        bars, costs = self.bars, self.costs
        nothing = np.zeros(self.words.size, dtype=bool)
        stop = None if costs.stop is None else round(entry * (1 - sign * costs.stop))
        target = None if costs.target is None else round(entry * (1 + sign * costs.target))
        worst, best = (bars.low, bars.high) if sign == BUY else (bars.high, bars.low)
        stopped = nothing if stop is None else sign * worst <= sign * stop
        reached = nothing if target is None else sign * best >= sign * target
        bar = self._first(start, stopped | reached)
        if bar == NEVER:
            return NEVER, "", 0
        opened = int(bars.open[bar])
        if stop is not None and sign * opened <= sign * stop:
            return bar, "stop_loss", opened
        if target is not None and sign * opened >= sign * target:
            return bar, "take_profit", opened
        if stop is not None and stopped[bar]:
            return bar, "stop_loss", stop
        assert target is not None
        return bar, "take_profit", target
