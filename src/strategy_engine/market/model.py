"""What is traded and what is known of it: timeframes, calendars, instruments, bars, ticks."""

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from strategy_engine.core.errors import InvalidError

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")
QUOTE_COLUMNS = ("bid", "ask", "bid_size", "ask_size")
TRADE_COLUMNS = ("price", "size")


class Unit(StrEnum):
    """The unit of a bar's length, in NautilusTrader's words."""

    SECOND = "SECOND"
    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"


_UNIT_NS = {
    Unit.SECOND: SECOND_NS,
    Unit.MINUTE: 60 * SECOND_NS,
    Unit.HOUR: HOUR_NS,
    Unit.DAY: DAY_NS,
}
_SHORT = {
    "s": Unit.SECOND,
    "m": Unit.MINUTE,
    "min": Unit.MINUTE,
    "h": Unit.HOUR,
    "d": Unit.DAY,
}
_SHORT_FORM = re.compile(r"(\d{1,6})(s|m|min|h|d)")
_LONG_FORM = re.compile(
    r"(\d{1,6})-(SECOND|MINUTE|HOUR|DAY)(?:-(LAST|BID|ASK|MID)(?:-(EXTERNAL|INTERNAL))?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeframe:
    """The length of a bar, the price it is made of, and who made it."""

    step: int
    unit: Unit
    price: str = "LAST"
    source: str = "EXTERNAL"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1-HOUR-LAST-EXTERNAL`, or the short `1h`, `5m`, `1d`.

        The same length has one name: `60m` is read as `1-HOUR-LAST-EXTERNAL`.

        Raises
        ------
        InvalidError
            If it is no bar of time, or its length does not divide a day.
        """
        stripped = text.strip()
        if short := _SHORT_FORM.fullmatch(stripped.lower()):
            return cls._of(text, int(short[1]) * _UNIT_NS[_SHORT[short[2]]])
        if long := _LONG_FORM.fullmatch(stripped.upper()):
            length_ns = int(long[1]) * _UNIT_NS[Unit(long[2])]
            return cls._of(text, length_ns, price=long[3] or "LAST", source=long[4] or "EXTERNAL")
        raise _unknown_timeframe(text)

    @classmethod
    def _of(
        cls, text: str, length_ns: int, *, price: str = "LAST", source: str = "EXTERNAL"
    ) -> Self:
        if length_ns <= 0 or DAY_NS % length_ns:
            raise _unknown_timeframe(text)
        unit = next(each for each in reversed(Unit) if length_ns % _UNIT_NS[each] == 0)
        return cls(step=length_ns // _UNIT_NS[unit], unit=unit, price=price, source=source)

    @property
    def duration_ns(self) -> int:
        """The bar's length in nanoseconds."""
        return self.step * _UNIT_NS[self.unit]

    def __str__(self) -> str:
        return f"{self.step}-{self.unit}-{self.price}-{self.source}"


def _unknown_timeframe(text: str) -> InvalidError:
    return InvalidError(
        f"timeframe {text!r} is not a bar of time whose length divides a day; "
        "write it as 1-HOUR-LAST-EXTERNAL or short as 30s, 5m, 1h, 1d",
        field="timeframe",
        value=text,
        accepted=["1-HOUR-LAST-EXTERNAL", "30s", "5m", "1h", "1d"],
    )


class Calendar(StrEnum):
    """When a market trades, and where one of its days ends.

    `fx` rolls at 17:00 in New York and rests from Friday's roll to Sunday's; `session` has
    UTC dates and rests at night and at the weekend; `continuous` has UTC dates and never rests.
    """

    FX = "fx"
    SESSION = "session"
    CONTINUOUS = "continuous"

    @property
    def periods_per_year(self) -> int:
        """Trading days in a year, for annualising."""
        return 365 if self is Calendar.CONTINUOUS else 252


_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9/_:^=+ -]{0,63}\.[A-Za-z0-9_]{1,32}")
_NANO = Decimal("1e-9")
_LARGEST_STEP = Decimal(1_000_000_000)  # in billionths, int64 holds it nine times


def venue_of(symbol: str) -> str:
    """Return the venue that a symbol such as `EUR/USD.SIM` names after its dot.

    Raises
    ------
    InvalidError
        If the symbol does not name a venue, or holds other characters than a symbol may.
    """
    if not _SYMBOL.fullmatch(symbol):
        raise InvalidError(
            f"symbol {symbol!r} must be a name, a dot and a venue, such as EUR/USD.SIM",
            field="symbol",
            value=symbol,
            accepted="NAME.VENUE",
        )
    return symbol.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """An instrument as NautilusTrader describes it.

    Parameters
    ----------
    class_name : str
        Its class there, such as `CryptoPerpetual`.
    content : str
        A JSON object: what that class's `from_dict` takes.
    """

    class_name: str
    content: str

    @property
    def fields(self) -> dict[str, Any]:
        """Return what the class's `from_dict` takes."""
        fields: dict[str, Any] = json.loads(self.content)
        return fields

    def number(self, name: str) -> Decimal | None:
        """Return one of its numbers, such as `taker_fee`, `margin_init` or `min_quantity`."""
        value = self.fields.get(name)
        return None if value is None else Decimal(str(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One thing that can be traded.

    `tick_size` is in settlement currency a unit, `lot_size` in units; both are positive multiples
    of 1e-9. `note` is a warning to whoever trusts its data; empty if there is none. `native` is
    there where NautilusTrader's own description is known.
    """

    symbol: str
    venue: str
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    calendar: Calendar
    default_timeframe: Timeframe
    note: str = ""
    native: Native | None = None

    def __post_init__(self) -> None:
        if venue_of(self.symbol) != self.venue:
            raise InvalidError(
                f"venue {self.venue!r} is not the one that {self.symbol} names",
                field="venue",
                value=self.venue,
                accepted=venue_of(self.symbol),
            )
        if not re.fullmatch(r"[A-Z0-9]{2,10}", self.currency):
            raise InvalidError(
                f"currency {self.currency!r} must be a code such as USD or USDT",
                field="currency",
                value=self.currency,
            )
        check_step("tick_size", self.tick_size)
        check_step("lot_size", self.lot_size)

    @property
    def min_lots(self) -> int:
        """The smallest order in lots: of the native description, else one lot."""
        least = self.native.number("min_quantity") if self.native else None
        return max(1, math.ceil(least / self.lot_size)) if least else 1


def check_step(name: str, size: Decimal) -> None:
    """Refuse a tick or lot size that billionths cannot hold.

    Raises
    ------
    InvalidError
        If it is not a positive multiple of 1e-9, or beyond a billion.
    """
    if not size.is_finite() or not 0 < size <= _LARGEST_STEP or size % _NANO:
        raise InvalidError(
            f"{name} {size} must be a positive multiple of 0.000000001, at most {_LARGEST_STEP:,}",
            field=name,
            value=str(size),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """Bars of one instrument in time order; the arrays cannot be written to.

    Parameters
    ----------
    ts_ns : array of int64, shape (n,)
        Opening time, nanoseconds since 1970 UTC, strictly rising.
    open, high, low, close : array of float64, shape (n,)
        Settlement currency a unit.
    volume : array of float64, shape (n,)
        Units traded, as the source counts them.
    timeframe_ns : int
        Length of a bar.
    """

    ts_ns: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timeframe_ns: int

    def __post_init__(self) -> None:
        _freeze(self, self.ts_ns, COLUMNS)

    def __len__(self) -> int:
        return int(self.ts_ns.size)

    @property
    def close_ns(self) -> Ints:
        """When each bar is complete and may be decided on."""
        return self.ts_ns + self.timeframe_ns

    def slice(self, start: int | None = None, stop: int | None = None) -> "Bars":
        """Return the bars from index `start` up to, not including, `stop`, without copying."""
        part = slice(start, stop)
        return Bars(
            ts_ns=self.ts_ns[part],
            open=self.open[part],
            high=self.high[part],
            low=self.low[part],
            close=self.close[part],
            volume=self.volume[part],
            timeframe_ns=self.timeframe_ns,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quotes:
    """Quotes of one instrument in time order; the arrays cannot be written to.

    Parameters
    ----------
    ts_ns : array of int64, shape (n,)
        When each was known, nanoseconds since 1970 UTC, never falling; several may share a time.
    bid, ask : array of float64, shape (n,)
        Settlement currency a unit.
    bid_size, ask_size : array of float64, shape (n,)
        Units offered at each.
    """

    ts_ns: Ints
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats

    def __post_init__(self) -> None:
        _freeze(self, self.ts_ns, QUOTE_COLUMNS)

    def __len__(self) -> int:
        return int(self.ts_ns.size)

    def slice(self, start: int | None = None, stop: int | None = None) -> "Quotes":
        """Return the quotes from index `start` up to, not including, `stop`, without copying."""
        part = slice(start, stop)
        columns = {name: getattr(self, name)[part] for name in QUOTE_COLUMNS}
        return Quotes(ts_ns=self.ts_ns[part], **columns)

    def between(self, start_ns: int | None, end_ns: int | None) -> "Quotes":
        """Return the quotes at or after `start_ns` and before `end_ns`, without copying."""
        return self.slice(*_part(self.ts_ns, start_ns, end_ns))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trades:
    """Trades of one instrument in time order; the arrays cannot be written to.

    Parameters
    ----------
    ts_ns : array of int64, shape (n,)
        When each was known, nanoseconds since 1970 UTC, never falling; several may share a time.
    price : array of float64, shape (n,)
        Settlement currency a unit.
    size : array of float64, shape (n,)
        Units traded.
    """

    ts_ns: Ints
    price: Floats
    size: Floats

    def __post_init__(self) -> None:
        _freeze(self, self.ts_ns, TRADE_COLUMNS)

    def __len__(self) -> int:
        return int(self.ts_ns.size)

    def slice(self, start: int | None = None, stop: int | None = None) -> "Trades":
        """Return the trades from index `start` up to, not including, `stop`, without copying."""
        part = slice(start, stop)
        return Trades(ts_ns=self.ts_ns[part], price=self.price[part], size=self.size[part])

    def between(self, start_ns: int | None, end_ns: int | None) -> "Trades":
        """Return the trades at or after `start_ns` and before `end_ns`, without copying."""
        return self.slice(*_part(self.ts_ns, start_ns, end_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How many quotes or trades of an instrument there are, and from when until when."""

    what: str
    rows: int
    first_ns: int
    last_ns: int


def _part(ts_ns: Ints, start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
    start = 0 if start_ns is None else int(np.searchsorted(ts_ns, start_ns))
    stop = ts_ns.size if end_ns is None else int(np.searchsorted(ts_ns, end_ns))
    return start, max(start, stop)


def _freeze(columns: object, ts_ns: Ints, names: tuple[str, ...]) -> None:
    times = _read_only(ts_ns, np.int64)
    object.__setattr__(columns, "ts_ns", times)
    for name in names:
        column = _read_only(getattr(columns, name), np.float64)
        if column.shape != times.shape:
            raise InvalidError(
                f"column {name} has shape {column.shape}, ts_ns has {times.shape}", field=name
            )
        object.__setattr__(columns, name, column)


def _read_only[T: np.generic](values: NDArray[T], dtype: type[T]) -> NDArray[T]:
    # A view, so that the caller's own array stays as it was.
    view = np.ascontiguousarray(values, dtype=dtype).view()
    view.flags.writeable = False
    return view
