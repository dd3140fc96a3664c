"""Bars, quotes and trades as they would arrive: a replay of history at a chosen speed."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError
from strategy_engine.market.model import Bars, Ints

CATCH_UP_S = 1.0
_BARS_A_TURN = 64  # at full speed, other tasks have their turn after so many

type Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarEvent:
    """A bar that is complete: decisions may be taken on it.

    `index` is its place in the symbol's bars that the feed was given; prices are in settlement
    currency a unit.
    """

    symbol: str
    index: int
    ts_ns: int
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteEvent:
    """A quote that is known; `index` is its place in the symbol's quotes that the feed was given.

    Prices are in settlement currency a unit, sizes in units.
    """

    symbol: str
    index: int
    ts_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeEvent:
    """A trade that is known; `index` is its place in the symbol's trades that the feed was given.

    The price is in settlement currency a unit, the size in units.
    """

    symbol: str
    index: int
    ts_ns: int
    price: float
    size: float


type MarketEvent = BarEvent | QuoteEvent | TradeEvent


class Feed(Protocol):
    """Where an execution's bars come from, in (close_ns, symbol) order."""

    def __aiter__(self) -> AsyncIterator[BarEvent]:
        """Return the feed itself."""
        ...

    async def __anext__(self) -> BarEvent:
        """Wait for the next bar; StopAsyncIteration when there will be no more."""
        ...


class Pace:
    """Waits until each event of a replay is due: that at position k at start + k / speed.

    A consumer that falls behind gets what is overdue at once, but never more than a second's
    worth: the schedule moves with it.

    Raises
    ------
    InvalidError
        If the speed is negative or no number.
    """

    def __init__(self, speed: float, clock: Clock, sleep: Sleep) -> None:
        if not speed >= 0:
            raise InvalidError(
                f"speed {speed} must be 0 (as fast as it goes) or more bars a second",
                field="speed",
                value=str(speed),
            )
        self.is_fast = speed == 0 or math.isinf(speed)
        self._interval_s = 0.0 if self.is_fast else 1.0 / speed
        self._clock = clock
        self._sleep = sleep
        self._waited = 0
        self._start_s: float | None = None

    async def wait(self, position: float) -> None:
        """Wait for the event at a position; positions never fall."""
        if self.is_fast:
            if self._waited % _BARS_A_TURN == 0:
                await self._sleep(0)
            self._waited += 1
            return
        now_s = self._clock.monotonic_s()
        if self._start_s is None:
            self._start_s = now_s
        late_s = now_s - (self._start_s + position * self._interval_s)
        self._start_s += max(0.0, late_s - CATCH_UP_S)
        # An overdue bar yields too: a feed that never waits would keep the loop to itself.
        await self._sleep(max(0.0, -late_s))


class ReplayFeed:
    """Plays the bars of one or several symbols, merged, as if they were live.

    Bar k is due at start + k / speed, so delays do not add up. A consumer that falls behind gets
    what is overdue at once, but never more than a second's worth: the schedule moves with it.

    Parameters
    ----------
    bars : mapping of symbol to Bars
        Histories to play; the timeframes may differ.
    start_after_ns : int or None
        Play only bars that close after this; None plays all.
    speed : float
        Bars a second of the merged stream; 0 or infinity: as fast as the consumer takes them.
    clock : Clock
        Measures the pace.
    sleep : callable
        Waits so many seconds.

    Raises
    ------
    InvalidError
        If the speed is negative or no number.
    """

    def __init__(
        self,
        bars: Mapping[str, Bars],
        *,
        start_after_ns: int | None = None,
        speed: float,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._symbols = sorted(bars)
        self._bars = [bars[symbol] for symbol in self._symbols]
        self._which, self._indices = _merged(self._bars, start_after_ns)
        self._pace = Pace(speed, clock, sleep)
        self._played = 0

    @property
    def remaining(self) -> int:
        """How many bars are still to come."""
        return int(self._which.size) - self._played

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BarEvent:
        if self.remaining == 0:
            raise StopAsyncIteration
        await self._pace.wait(self._played)
        event = self._event(int(self._which[self._played]), int(self._indices[self._played]))
        self._played += 1
        return event

    def _event(self, which: int, index: int) -> BarEvent:
        return bar_event(self._symbols[which], self._bars[which], index)


def bar_event(symbol: str, bars: Bars, index: int) -> BarEvent:
    """Return one of a symbol's bars as an event."""
    ts_ns = int(bars.ts_ns[index])
    return BarEvent(
        symbol=symbol,
        index=index,
        ts_ns=ts_ns,
        close_ns=ts_ns + bars.timeframe_ns,
        open=float(bars.open[index]),
        high=float(bars.high[index]),
        low=float(bars.low[index]),
        close=float(bars.close[index]),
        volume=float(bars.volume[index]),
    )


def warm_up(bars: Bars, lookback: int) -> int:
    """Return the index of the first live bar: what is before it only warms the strategy up.

    With no more bars than `lookback` nothing is left to play, and it is their number.

    Raises
    ------
    InvalidError
        If `lookback` is negative.
    """
    if lookback < 0:
        raise InvalidError(f"lookback {lookback} is below 0", field="lookback", value=lookback)
    return min(lookback, len(bars))


def _merged(histories: list[Bars], start_after_ns: int | None) -> tuple[NDArray[np.intp], Ints]:
    firsts = [_first_after(bars, start_after_ns) for bars in histories]
    counts = [len(bars) - first for bars, first in zip(histories, firsts, strict=True)]
    which = np.repeat(np.arange(len(histories)), counts)
    starts = zip(histories, firsts, strict=True)
    indices = _joined([np.arange(first, len(bars)) for bars, first in starts])
    closes = _joined([bars.close_ns[first:] for bars, first in zip(histories, firsts, strict=True)])
    order = np.lexsort((which, closes))
    return which[order], indices[order]


def _first_after(bars: Bars, start_after_ns: int | None) -> int:
    if start_after_ns is None:
        return 0
    return int(np.searchsorted(bars.close_ns, start_after_ns, side="right"))


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
