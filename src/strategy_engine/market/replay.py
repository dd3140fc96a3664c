"""Bars, quotes and trades of several instruments in one stream, merged piece by piece.

Only a piece's order is in memory: histories of millions of rows stay in their mapped files.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from strategy_engine.core.clock import Clock
from strategy_engine.market import feeds
from strategy_engine.market.feeds import MarketEvent, Pace, QuoteEvent, Sleep, TradeEvent
from strategy_engine.market.model import Bars, Floats, Ints, Quotes, Trades

PIECE = 32_768  # rows of a history that are put in order at a time


@dataclass(slots=True, kw_only=True)
class _Track:
    """One history: when each of its rows is known, how a row is told, how far it was put in."""

    known_ns: Ints
    tell: Callable[[int], MarketEvent]
    is_bars: bool
    at: int = 0

    @property
    def left(self) -> int:
        return int(self.known_ns.size) - self.at

    def horizon_ns(self, rows: int) -> int:
        return int(self.known_ns[min(self.at + rows, self.known_ns.size) - 1])

    def until(self, horizon_ns: int) -> Ints:
        rest = self.known_ns[self.at :]
        start, count = self.at, int(np.searchsorted(rest, horizon_ns, side="right"))
        self.at += count
        return np.arange(start, start + count)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What comes next, in order: of which track, which row, and at which place of the schedule."""

    tracks: list[int]
    rows: list[int]
    places: list[float]


class MarketReplay:
    """Plays bars, quotes and trades in the order in which they were known, as if they were live.

    At one instant bars come first, then quotes, then trades, each by symbol: the order in which a
    native backtest meets them.

    Parameters
    ----------
    bars, quotes, trades : mapping of symbol to history
        What to play; a symbol may be in some of them only.
    start_after_ns : int or None
        Play only what is known after this; None plays all.
    speed : float
        Bars a second of the merged stream, what lies between two of them in proportion; without
        any bars, events a second. 0 or infinity: as fast as the consumer takes them.
    piece : int
        Rows of a history that are put in order at a time.

    Raises
    ------
    InvalidError
        If the speed is negative or no number.
    """

    def __init__(  # noqa: PLR0913 - three kinds of history, and what every feed is given
        self,
        *,
        bars: Mapping[str, Bars],
        quotes: Mapping[str, Quotes],
        trades: Mapping[str, Trades],
        start_after_ns: int | None = None,
        speed: float,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        piece: int = PIECE,
    ) -> None:
        self._pace = Pace(speed, clock, sleep)
        self._tracks = [
            *(_bars(symbol, bars[symbol]) for symbol in sorted(bars)),
            *(_quotes(symbol, quotes[symbol]) for symbol in sorted(quotes)),
            *(_trades(symbol, trades[symbol]) for symbol in sorted(trades)),
        ]
        if start_after_ns is not None:
            for track in self._tracks:
                track.until(start_after_ns)
        closes = [each.known_ns[each.at :] for each in self._tracks if each.is_bars]
        self._closes = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *closes]))
        self._size = piece
        self._remaining = sum(each.left for each in self._tracks)
        self._ordered = 0
        self._bars_ordered = 0
        self._piece = _Piece(tracks=[], rows=[], places=[])
        self._next = 0

    @property
    def remaining(self) -> int:
        """How many events are still to come."""
        return self._remaining

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MarketEvent:
        if self._remaining == 0:
            raise StopAsyncIteration
        if self._next == len(self._piece.rows):
            self._piece, self._next = self._put_in_order(), 0
        at = self._next
        await self._pace.wait(self._piece.places[at])
        event = self._tracks[self._piece.tracks[at]].tell(self._piece.rows[at])
        self._next += 1
        self._remaining -= 1
        return event

    def _put_in_order(self) -> _Piece:
        # All that is known until the earliest end of the tracks' next rows: nothing comes between.
        horizon_ns = min(each.horizon_ns(self._size) for each in self._tracks if each.left)
        rows = [each.until(horizon_ns) for each in self._tracks]
        which = np.repeat(np.arange(len(rows)), [each.size for each in rows])
        pairs = zip(self._tracks, rows, strict=True)
        known_ns = np.concatenate([track.known_ns[part] for track, part in pairs])
        order = np.lexsort((which, known_ns))
        which, known_ns = which[order], known_ns[order]
        return _Piece(
            tracks=which.tolist(),
            rows=np.concatenate(rows)[order].tolist(),
            places=self._places(which, known_ns).tolist(),
        )

    def _places(self, which: Ints, known_ns: Ints) -> Floats:
        ordinal = self._ordered + np.arange(which.size, dtype=np.float64)
        self._ordered += which.size
        if not self._closes.size:
            return ordinal
        is_bar = np.array([each.is_bars for each in self._tracks])[which]
        bars = self._bars_ordered + np.cumsum(is_bar)
        self._bars_ordered = int(bars[-1]) if bars.size else self._bars_ordered
        return np.where(is_bar, bars - 1.0, _between(self._closes, bars, known_ns))


def _between(closes: Ints, bars: Ints, known_ns: Ints) -> Floats:
    """Return the place of each time among closes: the number of the last, and part of the way.

    Parameters
    ----------
    bars : array of int64, shape (n,)
        How many closes there are until each time.
    """
    last = np.maximum(bars - 1, 0)
    following = np.minimum(bars, closes.size - 1)
    way_ns = np.maximum(closes[following] - closes[last], 1)
    gone_ns = np.where(bars == 0, 0, np.minimum(known_ns - closes[last], way_ns))
    return last + np.where(following > last, gone_ns / way_ns, 0.0)


def _bars(symbol: str, given: Bars) -> _Track:
    return _Track(
        known_ns=given.close_ns,
        tell=lambda row: feeds.bar_event(symbol, given, row),
        is_bars=True,
    )


def _quotes(symbol: str, given: Quotes) -> _Track:
    def tell(row: int) -> QuoteEvent:
        return QuoteEvent(
            symbol=symbol,
            index=row,
            ts_ns=int(given.ts_ns[row]),
            bid=float(given.bid[row]),
            ask=float(given.ask[row]),
            bid_size=float(given.bid_size[row]),
            ask_size=float(given.ask_size[row]),
        )

    return _Track(known_ns=given.ts_ns, tell=tell, is_bars=False)


def _trades(symbol: str, given: Trades) -> _Track:
    def tell(row: int) -> TradeEvent:
        return TradeEvent(
            symbol=symbol,
            index=row,
            ts_ns=int(given.ts_ns[row]),
            price=float(given.price[row]),
            size=float(given.size[row]),
        )

    return _Track(known_ns=given.ts_ns, tell=tell, is_bars=False)
