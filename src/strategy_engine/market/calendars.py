"""When a market trades: New York's clock, trading days, and which missing bars are its own rest."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from strategy_engine.core import clock
from strategy_engine.market.model import DAY_NS, HOUR_NS, Calendar, Ints

_NEW_YORK = ZoneInfo("America/New_York")
_ROLL_NS = 17 * HOUR_NS
_WEEK_NS = 7 * DAY_NS
_WEEKEND_NS = 2 * DAY_NS
_FIRST_FRIDAY_ROLL_NS = DAY_NS + _ROLL_NS  # 1970-01-02 was a Friday; local time


def trading_days(ts_ns: Ints, calendar: Calendar) -> Ints:
    """Return the trading day that each time belongs to.

    Parameters
    ----------
    ts_ns : array of int64, shape (n,)
        Opening times of bars, nanoseconds since 1970 UTC, in any order.
    calendar : Calendar
        `fx` days begin at 17:00 in New York of the day before; the others are UTC dates.

    Returns
    -------
    array of int64, shape (n,)
        Days since 1970-01-01 of the trading day's date.
    """
    if calendar is Calendar.FX:
        return (since_roll(ts_ns) + DAY_NS) // DAY_NS
    return ts_ns // DAY_NS


def since_roll(ts_ns: Ints) -> Ints:
    """Return New York wall time, in nanoseconds since 17:00 of its 1970-01-01."""
    return ts_ns + _new_york_offsets(ts_ns) - _ROLL_NS


def missing_bars(ts_ns: Ints, duration_ns: int, calendar: Calendar) -> tuple[Ints, Ints]:
    """Find the holes between bars and how many bars each lacks.

    A hole that lacks none is a closure: the calendar's own rest. Of exchanges only weekends and
    nights are known, so a holiday counts as missing; a hole in an intraday `session` that reaches
    another date counts whole weekdays, each with the median number of bars a day.

    Parameters
    ----------
    ts_ns : array of int64, shape (n,)
        Opening times, strictly rising.

    Returns
    -------
    (array of int64, array of int64)
        Index of the last bar before each hole; bars missing in it.
    """
    holes = np.flatnonzero(np.diff(ts_ns) > duration_ns)
    before, after = ts_ns[holes], ts_ns[holes + 1]
    match calendar:
        case Calendar.FX:
            missing = (_traded_ns(after) - _traded_ns(before + duration_ns)) // duration_ns
        case Calendar.SESSION:
            missing = _missing_in_sessions(ts_ns, holes, duration_ns)
        case Calendar.CONTINUOUS:
            missing = (after - before) // duration_ns - 1
    return holes, np.maximum(missing, 0)


def _traded_ns(ts_ns: Ints) -> Ints:
    # Wall time less the weekends gone by. New York changes its clock on a Sunday morning, inside
    # a weekend, so this never jumps.
    since_friday = ts_ns + _new_york_offsets(ts_ns) - _FIRST_FRIDAY_ROLL_NS
    weeks, into_week = np.divmod(since_friday, _WEEK_NS)
    traded: Ints = since_friday - weeks * _WEEKEND_NS - np.minimum(into_week, _WEEKEND_NS)
    return traded


def _missing_in_sessions(ts_ns: Ints, holes: Ints, duration_ns: int) -> Ints:
    before, after = ts_ns[holes], ts_ns[holes + 1]
    first, last = before // DAY_NS, after // DAY_NS
    weekdays = np.busday_count(
        (first + 1).astype("datetime64[D]"), np.maximum(last, first + 1).astype("datetime64[D]")
    )
    _, bars_a_day = np.unique(ts_ns // DAY_NS, return_counts=True)
    usual = int(np.median(bars_a_day)) if bars_a_day.size else 0
    inside = (after - before) // duration_ns - 1
    return np.where(first == last, inside, weekdays.astype(np.int64) * usual)


def _new_york_offsets(ts_ns: Ints) -> Ints:
    if ts_ns.size == 0:
        return np.zeros(0, dtype=np.int64)
    first = clock.from_nanos(int(ts_ns.min())).year
    last = clock.from_nanos(int(ts_ns.max())).year
    starts, offsets = _offset_table(first, last)
    return offsets[np.searchsorted(starts, ts_ns, side="right") - 1]


@lru_cache(maxsize=64)
def _offset_table(first_year: int, last_year: int) -> tuple[Ints, Ints]:
    changes = [change for year in range(first_year, last_year + 1) for change in _changes_in(year)]
    starts = np.array([np.iinfo(np.int64).min, *(at for at, _ in changes)], dtype=np.int64)
    opening = _offset_ns(datetime(first_year, 1, 1, tzinfo=UTC))
    offsets = np.array([opening, *(offset for _, offset in changes)], dtype=np.int64)
    return starts, offsets


def _changes_in(year: int) -> Iterator[tuple[int, int]]:
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    while start < end:
        stop = min(start + timedelta(days=7), end)
        if _offset_ns(start) != _offset_ns(stop):
            at = _first_moment_of_new_offset(start, stop)
            yield clock.to_nanos(at), _offset_ns(at)
        start = stop


def _first_moment_of_new_offset(before: datetime, after: datetime) -> datetime:
    old = _offset_ns(before)
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ns(before + timedelta(seconds=middle)) == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _offset_ns(moment: datetime) -> int:
    offset = moment.astimezone(_NEW_YORK).utcoffset()
    if offset is None:
        raise AssertionError  # a zone always has one
    return int(offset.total_seconds()) * clock.NANOS_PER_SECOND
