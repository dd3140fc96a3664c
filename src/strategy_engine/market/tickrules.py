"""What quotes and trades may enter the catalogue: pure judgement. Arrays in, findings out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

import numpy as np

from strategy_engine.core.errors import ConflictError
from strategy_engine.market import faults
from strategy_engine.market.faults import Flags
from strategy_engine.market.model import (
    HOUR_NS,
    QUOTE_COLUMNS,
    TRADE_COLUMNS,
    Calendar,
    Floats,
    Ints,
    Quotes,
    Timeframe,
    Trades,
)
from strategy_engine.market.report import (
    KEPT,
    Found,
    Place,
    TickReport,
    found_in,
    moment,
    tick_refusals,
)

PRICES = ("bid", "ask", "price")
_ROUNDING = 1e-9  # of a lot: decimals are not exact in binary
_HOUR = Timeframe.parse("1h")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawTicks:
    """Columns of quotes or of trades as a file gave them, not yet believed; see `RawBars`."""

    ts_ns: Ints
    columns: Mapping[str, Floats]
    unreadable: Flags
    zoneless: Flags
    texts: Mapping[int, str] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What they are, in a word."""
        return "quotes" if "bid" in self.columns else "trades"


def judge(
    raw: RawTicks, *, symbol: str, calendar: Calendar, tick_size: Decimal, lot_size: Decimal
) -> TickReport:
    """Find every fault in the columns.

    Parameters
    ----------
    tick_size : Decimal
        The grid that prices should lie on.
    lot_size : Decimal
        What sizes are counted in.
    """
    readable = np.flatnonzero(~raw.unreadable)
    ts_ns = raw.ts_ns[readable]
    hours = np.unique(ts_ns // HOUR_NS) * HOUR_NS
    gaps, closures = faults.holes(hours, _HOUR, calendar)
    return TickReport(
        symbol=symbol,
        what=raw.what,
        calendar=calendar,
        rows=int(raw.ts_ns.size),
        first_ns=int(ts_ns.min()) if ts_ns.size else None,
        last_ns=int(ts_ns.max()) if ts_ns.size else None,
        tick_size=tick_size,
        unreadable=faults.places(raw, raw.unreadable, "unreadable"),
        zoneless=faults.places(raw, raw.zoneless & ~raw.unreadable, "names no zone"),
        unsorted=faults.unsorted(raw, readable),
        impossible=_impossible(raw),
        repeated=_repeated(raw),
        off_grid=_off_grid(raw, tick_size),
        lot_size=lot_size,
        small=_small(raw, lot_size),
        gaps=gaps,
        closures=closures,
    )


def refusals(raw: RawTicks) -> list[str]:
    """Return what refuses columns whose times are good, without looking for what only warns."""
    everything = np.arange(raw.ts_ns.size)
    return tick_refusals(raw.what, faults.unsorted(raw, everything), _impossible(raw))


def accepted(raw: RawTicks) -> Quotes | Trades:
    """Return the columns of an accepted report as quotes or trades."""
    if raw.what == "quotes":
        return Quotes(ts_ns=raw.ts_ns, **raw.columns)
    return Trades(ts_ns=raw.ts_ns, **raw.columns)


def merge[T: (Quotes, Trades)](old: T, new: T) -> T:
    """Return `old` with the rows of `new` that come after it.

    Raises
    ------
    ConflictError
        If the rows of `new` up to the end of `old` are not the very last ones of `old`.
    """
    last_ns = int(old.ts_ns[-1])
    shared = new.between(None, last_ns + 1)
    first_ns = int(new.ts_ns[0]) if len(new) else last_ns + 1
    if not _same(old.between(first_ns, None), shared):
        raise ConflictError(
            f"the rows from {moment(first_ns)} to {moment(last_ns)} differ from those already "
            "stored; an import without --replace may repeat stored rows exactly and add later "
            "ones; import with --replace to take this file instead",
            field="replace",
            first=moment(first_ns),
        )
    return _joined(old, new.slice(len(shared)))


def _same(one: Quotes | Trades, other: Quotes | Trades) -> bool:
    names = ("ts_ns", *_names(one))
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def _joined[T: (Quotes, Trades)](old: T, new: T) -> T:
    columns = {
        name: np.concatenate([getattr(old, name), getattr(new, name)])
        for name in ("ts_ns", *_names(old))
    }
    return type(old)(**columns)


def _names(ticks: Quotes | Trades) -> tuple[str, ...]:
    return QUOTE_COLUMNS if isinstance(ticks, Quotes) else TRADE_COLUMNS


def _impossible(raw: RawTicks) -> Found[Place]:
    checks = list(_checks(raw.columns))
    wrong = np.logical_or.reduce([flags for flags, _ in checks])
    rows = np.flatnonzero(wrong)
    found = (
        faults.place(
            raw, int(row), "; ".join(_said(raw, row, text) for flags, text in checks if flags[row])
        )
        for row in rows[:KEPT]
    )
    return found_in(rows.size, found)


def _checks(columns: Mapping[str, Floats]) -> Iterator[tuple[Flags, str]]:
    for name, values in columns.items():
        yield ~np.isfinite(values), f"{name} is {{{name}}}"
        if name in PRICES:
            yield values <= 0, f"{name} {{{name}}} is not positive"
        elif name == "size":
            yield values <= 0, "size {size} is not positive"
        else:
            yield values < 0, f"{name} {{{name}}} is negative"
    if "bid" in columns:
        yield columns["bid"] > columns["ask"], "bid {bid} is above ask {ask}"


def _said(raw: RawTicks, row: int, text: str) -> str:
    return text.format(**{name: float(values[row]) for name, values in raw.columns.items()})


def _repeated(raw: RawTicks) -> Found[Place]:
    same = np.zeros(raw.ts_ns.size, dtype=np.bool_)
    same[1:] = raw.ts_ns[1:] == raw.ts_ns[:-1]
    for values in raw.columns.values():
        same[1:] &= values[1:] == values[:-1]
    return faults.places(raw, same & ~raw.unreadable, "the same as above")


def _off_grid(raw: RawTicks, tick_size: Decimal) -> Found[Place]:
    prices = {name: each for name, each in raw.columns.items() if name in PRICES}
    strays = {name: faults.strays(each, float(tick_size)) for name, each in prices.items()}
    found = (
        faults.place(raw, int(row), f"{name} {float(prices[name][row])}")
        for row in np.flatnonzero(np.logical_or.reduce(list(strays.values())))
        for name in prices
        if strays[name][row]
    )
    return found_in(sum(int(each.sum()) for each in strays.values()), islice(found, KEPT))


def _small(raw: RawTicks, lot_size: Decimal) -> Found[Place]:
    # A size of nothing is a side that nobody quotes; as are rows that are refused anyway.
    lot = float(lot_size) * (1 - _ROUNDING)
    sizes = {name: each for name, each in raw.columns.items() if name not in PRICES}
    below = {name: (each > 0) & (each < lot) for name, each in sizes.items()}
    found = (
        faults.place(raw, int(row), f"{name} {float(sizes[name][row])}")
        for row in np.flatnonzero(np.logical_or.reduce(list(below.values())))
        for name in sizes
        if below[name][row]
    )
    return found_in(sum(int(each.sum()) for each in below.values()), islice(found, KEPT))
