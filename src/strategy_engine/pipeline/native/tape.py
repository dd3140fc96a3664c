"""What happens on a history in the order of time: bars and ticks, as venue and strategy meet them.

By time; where several things happen at once, bars come before quotes, quotes before trades, and
each in the order of symbols: the order that NautilusTrader's backtest has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.ticket import OrderEvent
from strategy_engine.pipeline.history import History, Ints, Series


class Kind(IntEnum):
    """What a happening is."""

    BAR = 0
    QUOTE = 1
    TRADE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One bar or tick; `index` counts within its kind and symbol."""

    kind: Kind
    symbol: str
    index: int
    ts_ns: int


class Tape:
    """A history, happening by happening.

    Parameters
    ----------
    ts_ns : array of int64, shape (n,)
        When each happened: a bar when it closed.
    """

    def __init__(self, part: History) -> None:
        self.part = part
        columns = list(_columns(part))
        self._owners = [(kind, each) for kind, each, _ in columns]
        times = [ts_ns for _, _, ts_ns in columns]
        every = np.concatenate(times) if times else np.zeros(0, dtype=np.int64)
        order = np.argsort(every, kind="stable")
        sizes = [each.size for each in times]
        self.ts_ns: Ints = every[order]
        self._owner = np.repeat(np.arange(len(sizes)), sizes)[order].tolist()
        self._index = np.concatenate([np.arange(size) for size in sizes])[order].tolist()
        self.start_ns = _start_ns(part)

    def __len__(self) -> int:
        return int(self.ts_ns.size)

    def __iter__(self) -> Iterator[Happening]:
        times = self.ts_ns.tolist()
        for owner, index, ts_ns in zip(self._owner, self._index, times, strict=True):
            kind, each = self._owners[owner]
            yield Happening(kind=kind, symbol=each.symbol, index=index, ts_ns=ts_ns)

    def bars_met(self) -> list[tuple[str, int]]:
        """Return, for every number of happenings met, the last bar among them; -1 before any."""
        last = self.part.series[0].symbol, -1
        found = [last]
        for each in self:
            last = (each.symbol, each.index) if each.kind is Kind.BAR else last
            found.append(last)
        return found

    def met_by(self, moments_ns: Ints) -> Ints:
        """Return how many happenings there have been by each moment, all of its own counted."""
        return np.searchsorted(self.ts_ns, moments_ns, side="right")

    def met_after_bars(self, met: int, count: int) -> int:
        """Return how many happenings there have been when every symbol has so many more bars."""
        since_ns = self.ts_ns[met - 1] if met else self.start_ns
        ends = [
            closes[min(int(np.searchsorted(closes, since_ns, side="right")) + count, size) - 1]
            for closes in (each.bars.close_ns for each in self.part.series)
            if (size := closes.size)
        ]
        return int(self.met_by(np.array(ends)).max(initial=met))


class Market:
    """What a venue meets of a history: every happening in ticks and lots."""

    def __init__(self, part: History) -> None:
        self._lanes = {each.symbol: _lane(each) for each in part.series}

    def meet(self, venue: Exchange, happening: Happening) -> list[OrderEvent]:
        """Let a venue meet a happening; the bars of a symbol with ticks it does not meet."""
        lane, symbol, index = self._lanes[happening.symbol], happening.symbol, happening.index
        match happening.kind:
            case Kind.BAR:
                if lane.is_ticked:
                    return []
                times = lane.open_ns[index], happening.ts_ns
                return venue.meet(symbol, times, lane.prices[index], lane.volume_lots[index])
            case Kind.QUOTE:
                bid, ask, bid_lots, ask_lots = lane.quotes[index]
                return venue.meet_quote(symbol, happening.ts_ns, (bid, ask), (bid_lots, ask_lots))
            case Kind.TRADE:
                price, lots = lane.trades[index]
                return venue.meet_trade(symbol, happening.ts_ns, price, lots)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lane:
    open_ns: list[int]
    prices: list[tuple[int, int, int, int]]
    volume_lots: list[int]
    quotes: list[tuple[int, int, int, int]]
    trades: list[tuple[int, int]]
    is_ticked: bool


def _lane(each: Series) -> _Lane:
    return _Lane(
        open_ns=each.bars.ts_ns.tolist(),
        prices=_rows(*each.ticks()),
        volume_lots=each.terms.whole_lots(each.bars.volume).tolist(),
        quotes=_quotes(each),
        trades=_trades(each),
        is_ticked=each.is_ticked,
    )


def _quotes(each: Series) -> list[tuple[int, int, int, int]]:
    found, terms = each.quotes, each.terms
    if found is None:
        return []
    sizes = terms.whole_lots(found.bid_size), terms.whole_lots(found.ask_size)
    return _rows(terms.ticks(found.bid), terms.ticks(found.ask), *sizes)


def _trades(each: Series) -> list[tuple[int, int]]:
    found, terms = each.trades, each.terms
    if found is None:
        return []
    return _rows(terms.ticks(found.price), np.maximum(1, terms.whole_lots(found.size)))


def _rows(*columns: Ints) -> list[Any]:
    return list(zip(*(each.tolist() for each in columns), strict=True))


def _columns(part: History) -> Iterator[tuple[Kind, Series, Ints]]:
    for each in part.series:
        yield Kind.BAR, each, each.bars.close_ns
    for each in part.series:
        if each.quotes is not None:
            yield Kind.QUOTE, each, each.quotes.ts_ns
    for each in part.series:
        if each.trades is not None:
            yield Kind.TRADE, each, each.trades.ts_ns


def _start_ns(part: History) -> int:
    opens = [int(each.bars.ts_ns[0]) for each in part.series if len(each.bars)]
    ticks = [each.quotes.ts_ns for each in part.series if each.quotes]
    ticks += [each.trades.ts_ns for each in part.series if each.trades]
    return min([*opens, *(int(each[0]) for each in ticks)], default=0)
