"""The bars of one execution: what warms it up, what is played, and the same prices in ticks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.execution.ticks import BAR, NO_TICKS, Place, TickHistory
from strategy_engine.market import calendars
from strategy_engine.market.model import Bars, Calendar, Instrument, Timeframe
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.model import Terms
from strategy_engine.sandbox.protocol import messages

type Cursor = tuple[int, str]  # when a bar closed, and whose it was: the order of events
type Ticks = tuple[int, int, int, int]
type Ints = NDArray[np.int64]

BEFORE_ALL: Cursor = (-1, "")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One instrument's bars up to the end of the range, with open, high, low, close in ticks."""

    instrument: Instrument
    timeframe: str
    terms: Terms
    bars: Bars
    ticks: tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]

    def ticks_at(self, index: int) -> Ticks:
        """Return open, high, low and close of a bar in ticks."""
        opens, highs, lows, closes = self.ticks
        return opens[index], highs[index], lows[index], closes[index]

    def volume_lots_at(self, index: int) -> int:
        """Return what was traded in a bar, in whole lots."""
        return int(self.terms.whole_lots(self.bars.volume[index : index + 1])[0])

    def close_ns_at(self, index: int) -> int:
        """Return when a bar closed."""
        return int(self.bars.ts_ns[index]) + self.bars.timeframe_ns

    def closed_by(self, moment_ns: int) -> int:
        """Return how many bars have closed at or before a moment."""
        return int(np.searchsorted(self.bars.close_ns, moment_ns, side="right"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """Every instrument's bars, and where the live ones begin.

    `start_after_ns`: bars that close after it are live.
    """

    series: Mapping[str, Series]
    start_after_ns: int
    warm_up: int
    ticks: TickHistory = NO_TICKS

    def bars(self) -> dict[str, Bars]:
        """Return the bars that a feed plays."""
        return {symbol: each.bars for symbol, each in self.series.items()}

    def frames_before(self, cursor: Cursor) -> list[messages.Bars]:
        """Return what warms a strategy up that goes on after `cursor` (the start, at least)."""
        return [
            _frame(symbol, each.bars, stop - self.warm_up, stop)
            for symbol, each in self.series.items()
            for stop in [self._known(symbol, cursor)]
        ]

    def frames_between(self, seen: Cursor, now: Cursor) -> list[messages.Bars]:
        """Return the bars that a strategy has missed between two cursors, as many as it keeps."""
        return [
            _frame(symbol, each.bars, max(self._known(symbol, seen), stop - self.warm_up), stop)
            for symbol, each in self.series.items()
            for stop in [self._known(symbol, now)]
        ]

    def time_at(self, cursor: Cursor) -> int:
        """Return when the last bar up to a cursor closed; before any, when the first live opens."""
        live = [
            each.close_ns_at(known - 1)
            for symbol, each in self.series.items()
            if (known := self._known(symbol, cursor)) > each.closed_by(self.start_after_ns)
        ]
        opens = [
            int(each.bars.ts_ns[first])
            for each in self.series.values()
            if (first := each.closed_by(self.start_after_ns)) < len(each.bars)
        ]
        return max(live) if live else min(opens, default=self.start_after_ns)

    def is_last(self, place: Place) -> bool:
        """Return whether no bar or tick follows that is known at the same instant."""
        ts_ns, kind, symbol, _ = place
        return not self.ticks.follow(place) and not any(
            kind == BAR
            and name > symbol
            and (known := each.closed_by(ts_ns))
            and each.close_ns_at(known - 1) == ts_ns
            for name, each in self.series.items()
        )

    def first_opens(self) -> dict[str, float]:
        """Return each instrument's first live open: where buy and hold would begin."""
        firsts = {name: each.closed_by(self.start_after_ns) for name, each in self.series.items()}
        return {
            name: float(each.bars.open[firsts[name]])
            for name, each in self.series.items()
            if firsts[name] < len(each.bars)
        }

    def first_close_ns(self) -> int:
        """Return when the first live bar closes; as soon as may be, if it is not known yet."""
        firsts = [
            each.close_ns_at(first)
            for each in self.series.values()
            if (first := each.closed_by(self.start_after_ns)) < len(each.bars)
        ]
        return min(firsts, default=self.start_after_ns + 1)

    def last_close(self, symbol: str, cursor: Cursor) -> float | None:
        """Return an instrument's last live close up to a cursor, if there is one."""
        each = self.series[symbol]
        known = self._known(symbol, cursor)
        if known <= each.closed_by(self.start_after_ns):
            return None
        return float(each.bars.close[known - 1])

    def instants_per_year(self) -> float:
        """Return how many instants with a closing bar there are in a year of trading days."""
        calendars_ = {each.instrument.calendar for each in self.series.values()}
        calendar = calendars_.pop() if len(calendars_) == 1 else Calendar.CONTINUOUS
        instants = np.unique(np.concatenate([each.bars.close_ns for each in self.series.values()]))
        shortest = min(each.bars.timeframe_ns for each in self.series.values())
        days = np.unique(calendars.trading_days(instants - shortest, calendar)).size
        return calendar.periods_per_year * instants.size / days if days else 1.0

    def bars_between(self, done: Cursor, moment_ns: int) -> int:
        """Return how many bars close after a cursor and no later than a moment."""
        return sum(
            max(0, each.closed_by(moment_ns) - self._known(symbol, done))
            for symbol, each in self.series.items()
        )

    def _known(self, symbol: str, cursor: Cursor) -> int:
        each = self.series[symbol]
        close_ns, last_symbol = cursor
        moment_ns = close_ns if symbol <= last_symbol else close_ns - 1
        return each.closed_by(max(moment_ns, self.start_after_ns))


def load(
    catalogue: Catalogue, symbols: Sequence[str], timeframe: str | None, end_ns: int | None
) -> dict[str, Series]:
    """Read the bars of an execution; blocks on files."""
    found = {}
    for symbol in sorted(symbols):
        instrument = catalogue.instrument(symbol)
        bars = catalogue.bars(symbol, timeframe)
        if end_ns is not None:
            bars = bars.slice(0, int(np.searchsorted(bars.close_ns, end_ns, side="right")))
        found[symbol] = _series(instrument, timeframe, bars)
    return found


def begin(
    series: Mapping[str, Series],
    config: ExecutionConfig,
    lookback: int,
    ticks: TickHistory = NO_TICKS,
) -> History:
    """Return the history with its start: the config's, or the first bar after warm-up.

    Ticks are live after the first live bar's open, and until the last one's close.
    """
    warm_up = lookback if config.warm_up is None else config.warm_up
    start_ns = config.start_ns
    if start_ns is None:
        start_ns = max(_close_of(each.bars, warm_up) for each in series.values())
    spans = {symbol: _live(each, start_ns) for symbol, each in series.items()}
    return History(
        series=series, start_after_ns=start_ns, warm_up=warm_up, ticks=ticks.between(spans)
    )


def _live(each: Series, start_after_ns: int) -> tuple[int, int]:
    first, count = each.closed_by(start_after_ns), len(each.bars)
    return (int(each.bars.ts_ns[first]), each.close_ns_at(count - 1)) if first < count else (0, 0)


def timeframe_of(series: Mapping[str, Series]) -> str:
    """Return the timeframe that all instruments share.

    Raises
    ------
    InvalidError
        If they have different ones.
    """
    found = sorted({each.timeframe for each in series.values()})
    if len(found) > 1:
        raise InvalidError(
            f"the symbols have bars of {' and '.join(found)}; a native strategy gets bars of one"
            " timeframe: say which in timeframe",
            field="timeframe",
            value=found,
        )
    return found[0]


def _close_of(bars: Bars, count: int) -> int:
    return int(bars.close_ns[min(count, len(bars)) - 1]) if count and len(bars) else 0


def _series(instrument: Instrument, timeframe: str | None, bars: Bars) -> Series:
    chosen = instrument.default_timeframe if timeframe is None else Timeframe.parse(timeframe)
    terms = rules.terms_of(instrument)
    columns = (bars.open, bars.high, bars.low, bars.close)
    # A memoryview gives Python's integers, eight bytes each.
    opens, highs, lows, closes = (memoryview(terms.ticks(each)) for each in columns)
    return Series(
        instrument=instrument,
        timeframe=str(chosen),
        terms=terms,
        bars=bars,
        ticks=(opens, highs, lows, closes),
    )


def _frame(symbol: str, bars: Bars, start: int, stop: int) -> messages.Bars:
    part = bars.slice(max(0, start), max(0, stop))
    return messages.Bars(
        symbol=symbol,
        duration_ns=bars.timeframe_ns,
        open_ns=part.ts_ns.astype("<i8").tobytes(),
        open=part.open.astype("<f8").tobytes(),
        high=part.high.astype("<f8").tobytes(),
        low=part.low.astype("<f8").tobytes(),
        close=part.close.astype("<f8").tobytes(),
        volume=part.volume.astype("<f8").tobytes(),
    )
