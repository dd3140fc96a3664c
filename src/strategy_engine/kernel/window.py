"""What a strategy sees: the last bars as read-only arrays whose memory holds no later bar."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core import clock

DEFAULT_LOOKBACK = 512
MAX_LOOKBACK = 100_000
PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
_SPARE_BARS = 1024  # how many bars fit before the window moves to new memory
_ITEM_BYTES = 8
_INSTANTS, _DATES = "q", "<M8[ns]"
_EMPTY = {"d": np.nan, _INSTANTS: np.iinfo(np.int64).min}  # the latter is NaT
_NEVER = -2  # looked at: no `end` follows it


class Series:
    """Bars of one instrument in the kernel's own memory, out of the strategy's sight."""

    __slots__ = ("columns", "times")

    def __init__(self, prices: Iterable[bytes] = (b"",) * 5, times: bytes = b"") -> None:
        self.times = array("q", times)
        self.columns = {
            name: array("d", column) for name, column in zip(PRICE_COLUMNS, prices, strict=True)
        }

    def extend(self, prices: Iterable[Iterable[float]], times: Iterable[int]) -> None:
        """Add bars, column by column."""
        self.times.extend(times)
        for name, column in zip(PRICE_COLUMNS, prices, strict=True):
            self.columns[name].extend(column)

    def forget(self, bars: int) -> None:
        """Drop the oldest bars."""
        del self.times[:bars]
        for column in self.columns.values():
            del column[:bars]


class _Column:
    """One column of a window: a bar is copied into its memory when the strategy looks at it.

    The memory is made at the first look: most strategies look at one column or two.
    """

    __slots__ = ("cells", "offset", "shown", "source", "writer", "written")

    def __init__(self, source: array[Any], cells: int, offset: int) -> None:
        self.source = source
        self.cells = cells
        self.offset = offset
        self.written = _NEVER

    def catch_up(self, end: int) -> None:
        """Copy the bars up to `end`, and no later one."""
        if self.written == _NEVER:
            self._allocate()
        written, offset = self.written, self.offset
        self.writer[written:end] = self.source[written + offset : end + offset]
        self.written = end

    def _allocate(self) -> None:
        code = self.source.typecode
        memory = bytearray(self.cells * _ITEM_BYTES)
        np.frombuffer(memory, dtype=code)[:] = _EMPTY[code]
        # Through a read-only memoryview, so that no `.base` leads to an array that can be written.
        shown: NDArray[Any] = np.frombuffer(memoryview(memory).toreadonly(), code)
        self.shown = shown.view(_DATES) if code == _INSTANTS else shown
        self.writer: memoryview[Any] = memoryview(memory).cast(code)  # type: ignore[arg-type]  # 'd' or 'q', here
        self.written = 0


class Window:
    """The last `lookback` bars of a series. Memory that was shown is never written again.

    Cell 0 of its memory holds the bar `first` of the instrument's whole history. Who counts `end`
    up by himself, as the backtest's loop does, calls `renew` when it is `full`.
    """

    __slots__ = ("_dropped", "_series", "columns", "end", "first", "full", "lookback")

    def __init__(self, series: Series, lookback: int, *, seen: int = 0) -> None:
        self.lookback = lookback
        self.full = lookback + _SPARE_BARS
        self._series = series
        self._dropped = 0
        self.end = min(seen, lookback)
        self.first = seen - self.end
        self.columns: dict[str, _Column] = {}
        self._allocate()

    @property
    def seen(self) -> int:
        """Return how many bars there have been in all."""
        return self.first + self.end

    @property
    def close_ns(self) -> int:
        """Return when the last bar closed, nanoseconds since 1970."""
        return self._series.times[self.seen - self._dropped - 1]

    def advance(self, bars: int = 1) -> None:
        """Let the next bars of the series be seen."""
        self.end += bars
        if self.end >= self.full:
            self.renew()

    def renew(self) -> None:
        """Go on in new memory, which holds what is still seen."""
        self.first += max(0, self.end - self.lookback)
        self.end = min(self.end, self.lookback)
        self._allocate()

    def trim(self) -> None:
        """Let the series forget what will not be seen again."""
        spare = self.seen - self._dropped - self.lookback
        if spare < max(self.lookback, _SPARE_BARS):
            return
        self._series.forget(spare)
        self._dropped += spare
        self.renew()

    def _allocate(self) -> None:
        # `full` cells, of which the last is never written: after the last bar there is always an
        # empty one.
        offset = self.first - self._dropped
        named = {
            name: _Column(source, self.full, offset)
            for name, source in self._series.columns.items()
        }
        times = _Column(self._series.times, self.full, offset)
        self.columns |= {"prices": named["close"], **named, "timestamps": times}


class Standing(Protocol):
    """What the execution holds in the instrument, and has: known to the engine, read lazily."""

    def position(self) -> float:
        """Return the signed quantity held."""
        ...

    def entry_price(self) -> float | None:
        """Return the average entry price, None when flat."""
        ...

    def equity(self) -> float:
        """Return cash and positions at their marks."""
        ...

    def cash(self) -> float:
        """Return the cash."""
        ...


class MarketData(Mapping[str, Any]):
    """The mapping that `generate_signal` gets: nothing is stored, each key is read when asked.

    One object serves every bar; arrays taken from it keep their values. Not a dictionary:
    looking a key up in one that computes its values takes three times as long.
    """

    __slots__ = (
        "_columns",
        "_flags",
        "_lookback",
        "_parameters",
        "_standing",
        "_symbol",
        "_window",
    )

    def __init__(
        self, symbol: str, window: Window, standing: Standing, parameters: Mapping[str, Any]
    ) -> None:
        self._symbol = symbol
        self._window = window
        self._columns = window.columns  # one dictionary for ever, though what it holds is renewed
        self._lookback = window.lookback
        self._standing = standing
        self._parameters = MappingProxyType(dict(parameters))
        self._flags: Mapping[str, Any] = MappingProxyType({})

    def __getitem__(self, key: str) -> Any:
        column = self._columns.get(key)
        if column is not None:
            end = self._window.end
            last = column.written
            if last == end - 1:  # looked at on every bar, as most are: one number to copy
                column.writer[last] = column.source[last + column.offset]
                column.written = end
            elif last != end:
                column.catch_up(end)
            start = end - self._lookback
            return column.shown[start if start > 0 else 0 : end]  # noqa: FURB136  (a call costs)
        read = _READERS.get(key)
        if read is None:
            raise KeyError(f"{key!r} is not in market_data; it holds {', '.join(KEYS)}")
        return read(self)

    def __contains__(self, key: object) -> bool:
        return key in _KEY_SET

    def __iter__(self) -> Iterator[str]:
        return iter(KEYS)

    def __len__(self) -> int:
        return len(KEYS)

    def __repr__(self) -> str:
        return f"<market data of {self._symbol}: {', '.join(KEYS)}>"

    def see_flags(self, flags: Mapping[str, Any]) -> None:
        """Show these feature flags from now on."""
        self._flags = MappingProxyType(dict(flags))


def _time(seen: MarketData) -> datetime:
    return clock.from_nanos(seen._window.close_ns)  # noqa: SLF001  (this file's own class)


_READERS: dict[str, Callable[[MarketData], Any]] = {
    "symbol": lambda seen: seen._symbol,  # noqa: SLF001  (this file's own class, here and below)
    "time": _time,
    "position": lambda seen: seen._standing.position(),  # noqa: SLF001
    "entry_price": lambda seen: seen._standing.entry_price(),  # noqa: SLF001
    "equity": lambda seen: seen._standing.equity(),  # noqa: SLF001
    "cash": lambda seen: seen._standing.cash(),  # noqa: SLF001
    "flags": lambda seen: seen._flags,  # noqa: SLF001
    "parameters": lambda seen: seen._parameters,  # noqa: SLF001
}
KEYS = ("prices", "open", "high", "low", "close", "volume", "timestamps", *_READERS)
_KEY_SET = frozenset(KEYS)
