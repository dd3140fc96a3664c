"""What may enter the catalogue: pure judgement of columns of bars. Arrays in, findings out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

import numpy as np

from strategy_engine.core.errors import ConflictError
from strategy_engine.market import calendars, faults
from strategy_engine.market.calendars import trading_days
from strategy_engine.market.faults import Flags
from strategy_engine.market.model import (
    COLUMNS,
    DAY_NS,
    HOUR_NS,
    PRICES,
    SECOND_NS,
    Bars,
    Calendar,
    Floats,
    Ints,
    Timeframe,
)
from strategy_engine.market.report import (
    KEPT,
    Duplicate,
    Found,
    ImportReport,
    Place,
    found_in,
    moment,
)

__all__ = [
    "RawBars",
    "accepted_bars",
    "infer_tick_size",
    "judge",
    "likely_calendar",
    "merge",
    "trading_days",
]

_QUARTER_HOUR_NS = 900 * SECOND_NS
_FINEST_DECIMALS = 9
_STRAY_SHARE = 1_000  # one in so many
_LARGEST_EXACT = 2.0**53  # of whole numbers in float64
_ENOUGH_PRICES = 20  # different ones, before a coarse grid is more than chance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawBars:
    """Columns as a file gave them, in its order, not yet believed.

    `unreadable` marks rows whose time could not be read (their `ts_ns` means nothing) and `texts`
    holds what stood there, by index; `zoneless` marks times that named no zone (taken as UTC).
    A number that could not be read is NaN.
    """

    ts_ns: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    unreadable: Flags
    zoneless: Flags
    texts: Mapping[int, str] = field(default_factory=dict)


def judge(
    raw: RawBars,
    *,
    symbol: str,
    timeframe: Timeframe,
    calendar: Calendar,
    tick_size: Decimal | None = None,
) -> ImportReport:
    """Find every fault in the columns.

    Parameters
    ----------
    tick_size : Decimal or None
        The grid that prices must lie on; None takes the one that the prices themselves fit.
    """
    readable = np.flatnonzero(~raw.unreadable)
    ts_ns = raw.ts_ns[readable]
    ordered = np.unique(ts_ns)
    inferred = infer_tick_size(raw)
    tick = inferred if tick_size is None else tick_size
    gaps, closures = faults.holes(ordered, timeframe, calendar)
    return ImportReport(
        symbol=symbol,
        timeframe=timeframe,
        calendar=calendar,
        rows=int(raw.ts_ns.size),
        first_ns=int(ordered[0]) if ordered.size else None,
        last_ns=int(ordered[-1]) if ordered.size else None,
        tick_size=tick,
        inferred_tick_size=inferred,
        unreadable=faults.places(raw, raw.unreadable, "unreadable"),
        zoneless=faults.places(raw, raw.zoneless & ~raw.unreadable, "names no zone"),
        unsorted=faults.unsorted(raw, readable),
        duplicates=_duplicates(raw, readable),
        misaligned=_misaligned(raw, timeframe, calendar),
        impossible=_impossible(raw, tick),
        off_grid=_off_grid(raw, tick),
        gaps=gaps,
        closures=closures,
    )


def likely_calendar(symbol: str, ts_ns: Ints) -> Calendar:
    """Guess the calendar: bars on Saturdays never rest, a pair is foreign exchange."""
    saturdays = (ts_ns // DAY_NS + 3) % 7 == 5  # noqa: PLR2004 - Monday is 0; 1970 began on a Thursday
    if saturdays.any():
        return Calendar.CONTINUOUS
    return Calendar.FX if "/" in symbol else Calendar.SESSION


def infer_tick_size(raw: RawBars) -> Decimal | None:
    """Return the coarsest step of 1, 2, 5 or 25 units of a decimal place that the prices fit.

    One different price in a thousand may stray: it is more likely wrong than the grid. None if
    nine decimals do not hold them. Steps of 2, 5 and 25 need twenty different prices.
    """
    prices = np.unique(np.concatenate([getattr(raw, name) for name in PRICES]))
    prices = prices[np.isfinite(prices) & (prices > 0)]
    if prices.size == 0:
        return None
    for decimals in range(_FINEST_DECIMALS + 1):
        strays = faults.strays(prices, 10.0**-decimals)
        if strays.sum() * _STRAY_SHARE <= prices.size:
            return Decimal(_unit(prices[~strays], decimals)).scaleb(-decimals)
    return None


def accepted_bars(raw: RawBars, timeframe: Timeframe) -> Bars:
    """Return the columns of an accepted report as bars."""
    values = {name: getattr(raw, name) for name in ("ts_ns", *COLUMNS)}
    return Bars(**values, timeframe_ns=timeframe.duration_ns)


def merge(old: Bars, new: Bars) -> Bars:
    """Return `old` with the bars of `new` that come after it.

    Raises
    ------
    ConflictError
        If `new` has a bar up to the end of `old` that `old` lacks or holds with other numbers.
    """
    seen = int(np.searchsorted(new.ts_ns, old.ts_ns[-1], side="right"))
    at = np.searchsorted(old.ts_ns, new.ts_ns[:seen])
    same = old.ts_ns[at] == new.ts_ns[:seen]
    for name in COLUMNS:
        same &= getattr(old, name)[at] == getattr(new, name)[:seen]
    if not same.all():
        first = moment(int(new.ts_ns[np.flatnonzero(~same)[0]]))
        raise ConflictError(
            f"{int((~same).sum()):,} bars differ from those already stored, the first at {first}; "
            "an import without --replace may repeat stored bars exactly and add later ones; "
            "import with --replace to take this file instead",
            field="replace",
            first=first,
        )
    columns = {
        name: np.concatenate([getattr(old, name), getattr(new, name)[seen:]])
        for name in ("ts_ns", *COLUMNS)
    }
    return Bars(**columns, timeframe_ns=old.timeframe_ns)


def _duplicates(raw: RawBars, readable: Ints) -> Found[Duplicate]:
    ts_ns = raw.ts_ns[readable]
    order = np.argsort(ts_ns, kind="stable")
    is_first = np.ones(ts_ns.size, dtype=np.bool_)
    is_first[1:] = np.diff(ts_ns[order]) != 0
    group = np.cumsum(is_first) - 1
    first_rows = readable[order[is_first]][group[~is_first]]
    rows = readable[order[~is_first]]
    by_row = np.argsort(rows)[:KEPT]
    places = (_duplicate(raw, int(rows[at]), int(first_rows[at])) for at in by_row)
    return found_in(rows.size, places)


def _duplicate(raw: RawBars, row: int, first_row: int) -> Duplicate:
    pairs = ((column[row], column[first_row]) for column in (getattr(raw, n) for n in COLUMNS))
    identical = all(one == other or (np.isnan(one) and np.isnan(other)) for one, other in pairs)
    return Duplicate(
        row=row + 1, first_row=first_row + 1, ts_ns=int(raw.ts_ns[row]), identical=identical
    )


def _misaligned(raw: RawBars, timeframe: Timeframe, calendar: Calendar) -> Found[Place]:
    aligned = ~raw.unreadable
    aligned[aligned] = _aligned(raw.ts_ns[aligned], timeframe.duration_ns, calendar)
    off = ~aligned & ~raw.unreadable
    begun = np.unique(raw.ts_ns[aligned])
    early = begun[1:][np.diff(begun) < timeframe.duration_ns]
    inside = aligned & np.isin(raw.ts_ns, early)
    rows = np.flatnonzero(off | inside)
    said = (f"no bar of {timeframe} begins then", "the bar before has not ended then")
    return found_in(
        rows.size, (faults.place(raw, int(row), said[int(inside[row])]) for row in rows[:KEPT])
    )


def _aligned(ts_ns: Ints, duration_ns: int, calendar: Calendar) -> Flags:
    phase = ts_ns % duration_ns
    aligned: Flags
    match calendar:
        case Calendar.FX:
            aligned = (phase == 0) | (calendars.since_roll(ts_ns) % duration_ns == 0)
        case Calendar.SESSION:
            aligned = np.isin(phase, _session_phases(phase, duration_ns))
        case Calendar.CONTINUOUS:
            aligned = phase == 0
    return aligned


def _session_phases(phase: Ints, duration_ns: int) -> list[int]:
    # An exchange that opens at half past has its hours there, and its days at an hour of UTC that
    # moves with summer time. What most rows share is the rule; a quarter of an hour its grain.
    phases, counts = np.unique(phase, return_counts=True)
    usual = int(phases[np.argmax(counts)]) if phases.size else 0
    if usual == 0 or usual % _QUARTER_HOUR_NS:
        return [0]
    return [(usual + shift) % duration_ns for shift in (-HOUR_NS, 0, HOUR_NS)]


def _impossible(raw: RawBars, tick: Decimal | None) -> Found[Place]:
    checks = list(_checks(raw, tick))
    wrong = np.logical_or.reduce([flags for flags, _ in checks])
    rows = np.flatnonzero(wrong)
    places = (
        faults.place(
            raw, int(row), "; ".join(_said(raw, row, text) for flags, text in checks if flags[row])
        )
        for row in rows[:KEPT]
    )
    return found_in(rows.size, places)


def _checks(raw: RawBars, tick: Decimal | None) -> Iterator[tuple[Flags, str]]:
    for name in COLUMNS:
        yield ~np.isfinite(getattr(raw, name)), f"{name} is {{{name}}}"
    for name in PRICES:
        yield getattr(raw, name) <= 0, f"{name} {{{name}}} is not positive"
        if tick is not None:
            column = getattr(raw, name)
            vanishes = (column > 0) & (column <= float(tick) / 2)
            yield vanishes, f"{name} {{{name}}} is less than a tick of {tick}"
    yield raw.high < raw.low, "high {high} is below low {low}"
    for name in ("open", "close"):
        column = getattr(raw, name)
        outside = (raw.low <= raw.high) & ((column < raw.low) | (column > raw.high))
        yield outside, f"{name} {{{name}}} is outside low {{low}} to high {{high}}"
    yield raw.volume < 0, "volume {volume} is negative"


def _said(raw: RawBars, row: int, text: str) -> str:
    return text.format(**{name: float(getattr(raw, name)[row]) for name in COLUMNS})


def _off_grid(raw: RawBars, tick: Decimal | None) -> Found[Place]:
    if tick is None:
        return Found()
    strays = {name: faults.strays(getattr(raw, name), float(tick)) for name in PRICES}
    count = sum(int(flags.sum()) for flags in strays.values())
    places = (
        faults.place(raw, int(row), f"{name} {float(getattr(raw, name)[row])}")
        for row in np.flatnonzero(np.logical_or.reduce(list(strays.values())))
        for name in PRICES
        if strays[name][row]
    )
    return found_in(count, islice(places, KEPT))


def _unit(prices: Floats, decimals: int) -> int:
    if prices.size < _ENOUGH_PRICES or prices[-1] * 10.0**decimals > _LARGEST_EXACT:
        return 1
    common = int(np.gcd.reduce(np.rint(prices * 10.0**decimals).astype(np.int64)))
    return next(unit for unit in (25, 5, 2, 1) if common % unit == 0)
