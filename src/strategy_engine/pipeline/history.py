"""Bars as the stages see them: one timeline for all symbols, the hold-out, slices, frames."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import clock, money
from strategy_engine.market import calendars
from strategy_engine.market.model import Bars, Calendar, Instrument, Native, Quotes, Trades
from strategy_engine.matching.model import DAY_NS, Terms
from strategy_engine.sandbox.protocol import messages

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]

HOLD_OUT = 0.05  # of the history: for paper trading, unseen by the backtest
MOST_PAPER_BARS = 20_000  # of a symbol: the live path takes about a millisecond a bar
IN_SAMPLE = 0.6  # of what the backtest sees


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """The bars of one symbol with the terms it trades by.

    Parameters
    ----------
    quotes, trades : Quotes or None, Trades or None
        Its ticks, for those who meet them; where there are any, they are the market.
    """

    symbol: str
    timeframe: str
    calendar: Calendar
    terms: Terms
    bars: Bars
    note: str = ""
    currency: str = "USD"
    native: Native | None = None
    quotes: Quotes | None = None
    trades: Trades | None = None

    @property
    def is_ticked(self) -> bool:
        """Whether it has quotes or trades."""
        return bool(self.quotes) or bool(self.trades)

    def with_bars(self, bars: Bars) -> "Series":
        """Return the series with other bars; ticks do not fit them, so there are none."""
        return replace(self, bars=bars, quotes=None, trades=None)

    def cut(self, start: int, stop: int) -> "Series":
        """Return the bars from index `start` up to, not including, `stop`, and their ticks.

        Those are what came after the bar before them closed; of the first bar, after it opened.
        """
        bars = self.bars.slice(start, stop)
        begin, end = (int(bars.ts_ns[0]), int(bars.close_ns[-1])) if len(bars) else (0, 0)
        span = (int(self.bars.close_ns[start - 1]), end) if start and end else (begin, end)
        return replace(
            self, bars=bars, quotes=_within(self.quotes, span), trades=_within(self.trades, span)
        )

    def ticks(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Return open, high, low and close in ticks, by the same rounding as in the child."""
        bars, ticks = self.bars, self.terms.ticks
        return ticks(bars.open), ticks(bars.high), ticks(bars.low), ticks(bars.close)

    def frame(self) -> messages.Bars:
        """Return the bars as the child reads them."""
        bars = self.bars
        return messages.Bars(
            symbol=self.symbol,
            duration_ns=bars.timeframe_ns,
            open_ns=bars.ts_ns.astype("<i8").tobytes(),
            open=bars.open.astype("<f8").tobytes(),
            high=bars.high.astype("<f8").tobytes(),
            low=bars.low.astype("<f8").tobytes(),
            close=bars.close.astype("<f8").tobytes(),
            volume=bars.volume.astype("<f8").tobytes(),
        )


def _tick_columns(each: Series) -> Iterator[NDArray[np.generic]]:
    if each.quotes is not None:
        quotes = each.quotes
        yield from (quotes.ts_ns, quotes.bid, quotes.ask, quotes.bid_size, quotes.ask_size)
    if each.trades is not None:
        yield from (each.trades.ts_ns, each.trades.price, each.trades.size)


def _within[T: (Quotes, Trades)](ticks: T | None, span: tuple[int, int]) -> T | None:
    # After the one and until the other: so parts share no tick.
    if ticks is None:
        return None
    start, stop = np.searchsorted(ticks.ts_ns, np.array(span), side="right").tolist()
    return ticks.slice(start, stop)


def series(instrument: Instrument, bars: Bars, timeframe: str) -> Series:
    """Return an instrument's bars with its terms."""
    return Series(
        symbol=instrument.symbol,
        timeframe=timeframe,
        calendar=instrument.calendar,
        terms=Terms(
            symbol=instrument.symbol,
            tick_nanos=money.to_nanos(instrument.tick_size),
            lot_nanos=money.to_nanos(instrument.lot_size),
            min_lots=instrument.min_lots,
        ),
        bars=bars,
        note=instrument.note,
        currency=instrument.currency,
        native=instrument.native,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """The bars of every symbol of a version, in order of symbol."""

    series: tuple[Series, ...]

    @property
    def calendar(self) -> Calendar:
        """Return the calendar that days are counted by: the one all share, or the widest."""
        calendars_ = {each.calendar for each in self.series}
        if len(calendars_) == 1:
            return calendars_.pop()
        return Calendar.CONTINUOUS if Calendar.CONTINUOUS in calendars_ else Calendar.SESSION

    def timeline(self) -> Ints:
        """Return every instant at which a bar closed, once, in order."""
        closes = [each.bars.close_ns for each in self.series]
        if len(closes) == 1:
            return closes[0]
        every = np.sort(np.concatenate(closes))  # np.unique would import numpy.ma: 50 ms at once
        return every[np.concatenate(([True], every[1:] != every[:-1]))[: every.size]]

    def bar_count(self) -> int:
        """Return how many bars there are over all symbols."""
        return sum(len(each.bars) for each in self.series)

    def days(self) -> Ints:
        """Return the trading day of every instant of the timeline; it never falls."""
        shortest = min(each.bars.timeframe_ns for each in self.series)
        found = calendars.trading_days(self.timeline() - shortest, self.calendar)
        return np.maximum.accumulate(found) if found.size else found

    def until(self, close_ns: int) -> "History":
        """Return the bars that close at or before an instant."""
        return self._cut(lambda closes: (0, int(np.searchsorted(closes, close_ns, side="right"))))

    def after(self, close_ns: int) -> "History":
        """Return the bars that close after an instant."""
        return self._cut(
            lambda closes: (int(np.searchsorted(closes, close_ns, side="right")), closes.size)
        )

    def last(self, count: int) -> "History":
        """Return the last bars of every symbol, at most `count` of each."""
        return self._cut(lambda closes: (max(0, closes.size - count), closes.size))

    def skip(self, count: int) -> "History":
        """Return the bars of every symbol without its first `count`."""
        return self._cut(lambda closes: (min(count, closes.size), closes.size))

    def frames(self) -> list[messages.Bars]:
        """Return the bars as a child reads them."""
        return [each.frame() for each in self.series]

    def identity(self) -> str:
        """Return a digest of what the bars are: equal for equal bars."""
        digest = hashlib.sha256()
        for each in self.series:
            digest.update(f"{each.symbol} {each.timeframe} {each.terms}\n".encode())
            bars = each.bars
            for column in (bars.ts_ns, bars.open, bars.high, bars.low, bars.close, bars.volume):
                digest.update(column.tobytes())
            for ticks in _tick_columns(each):
                digest.update(ticks.tobytes())
        return digest.hexdigest()

    def _cut(self, bounds: Callable[[Ints], tuple[int, int]]) -> "History":
        def part(each: Series) -> Series:
            start, stop = bounds(each.bars.close_ns)
            return each.cut(start, stop)

        return History(series=tuple(part(each) for each in self.series))


def history(every: Sequence[Series]) -> History:
    """Return the history of these series."""
    return History(series=tuple(sorted(every, key=lambda each: each.symbol)))


def hold_out(whole: History) -> tuple[History, History]:
    """Return what the backtest may see, and the end of the history that it may not."""
    times = whole.timeline()
    if times.size == 0:
        return whole, whole
    seen = max(1, int(times.size * (1.0 - HOLD_OUT)))
    border = int(times[seen - 1])
    return whole.until(border), whole.after(border)


def paper_window(unseen: History) -> History:
    """Return the end of a hold-out that paper trading plays, one range of time for all symbols."""
    starts = [
        int(each.bars.close_ns[-MOST_PAPER_BARS - 1])
        for each in unseen.series
        if len(each.bars) > MOST_PAPER_BARS
    ]
    return unseen.after(max(starts)) if starts else unseen


def border(whole: History, window: History) -> int:
    """Return the last instant of a history before a window of it begins; bars close after it."""
    times, first = whole.timeline(), int(window.timeline()[0])
    at = int(np.searchsorted(times, first))
    return int(times[at - 1]) if at else first - 1


def most_recent(part: History, days: int | None) -> History:
    """Return the bars of the last `days` days; all of them when nothing was asked."""
    times = part.timeline()
    if days is None or times.size == 0:
        return part
    return part.after(int(times[-1]) - days * DAY_NS)


def with_warm_up(whole: History, window: History, lookback: int) -> tuple[History, int]:
    """Return a window with the bars before it, the same number for every symbol, and that number.

    Parameters
    ----------
    lookback : int
        How many there should be; there are fewer where the history begins later.
    """
    starts = [
        int(np.searchsorted(each.bars.ts_ns, part.bars.ts_ns[0])) if len(part.bars) else size
        for each, part in zip(whole.series, window.series, strict=True)
        for size in (len(each.bars),)
    ]
    count = min(lookback, *starts)
    longer = tuple(
        each.cut(start - count, len(each.bars))
        for each, start in zip(whole.series, starts, strict=True)
    )
    return History(series=longer), count


def span_days(part: History) -> int:
    """Return how many days lie between the first open and the last close, begun ones counted."""
    times = part.timeline()
    if times.size == 0:
        return 0
    first = min(int(each.bars.ts_ns[0]) for each in part.series if len(each.bars))
    return -(-(int(times[-1]) - first) // DAY_NS)


def moment(ts_ns: int) -> str:
    """Return an instant as people read it."""
    return f"{clock.from_nanos(ts_ns):%Y-%m-%d %H:%M} UTC"
