"""What rows of any columns in time can be faulty in: order, reading, holes, the price grid."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from strategy_engine.market import calendars
from strategy_engine.market.model import Calendar, Floats, Ints, Timeframe
from strategy_engine.market.report import KEPT, Found, Gap, Place, found_in, moment

type Flags = NDArray[np.bool_]

_GRID_TOLERANCE = 1e-6  # ticks; prices are decimal fractions in binary


class Timed(Protocol):
    """Rows as a file gave them: of bars, of quotes, of trades."""

    @property
    def ts_ns(self) -> Ints:
        """When each row was; means nothing where unreadable."""
        ...

    @property
    def unreadable(self) -> Flags:
        """Which rows have no time that could be read."""
        ...

    @property
    def texts(self) -> Mapping[int, str]:
        """What stood in place of such a time, by index."""
        ...


def holes(ordered: Ints, timeframe: Timeframe, calendar: Calendar) -> tuple[Found[Gap], Found[Gap]]:
    """Return the holes between times that lack bars, and those that the calendar explains.

    Parameters
    ----------
    ordered : array of int64, shape (n,)
        Opening times, strictly rising.
    """
    where, missing = calendars.missing_bars(ordered, timeframe.duration_ns, calendar)

    def found(chosen: Flags) -> Found[Gap]:
        gaps = (
            Gap(from_ns=int(ordered[hole]), to_ns=int(ordered[hole + 1]), missing=int(count))
            for hole, count in zip(where[chosen][:KEPT], missing[chosen][:KEPT], strict=True)
        )
        return found_in(int(chosen.sum()), gaps)

    return found(missing > 0), found(missing == 0)


def places(raw: Timed, flags: Flags, what: str) -> Found[Place]:
    """Return the rows that are marked."""
    rows = np.flatnonzero(flags)
    return found_in(rows.size, (place(raw, int(row), what) for row in rows[:KEPT]))


def place(raw: Timed, row: int, what: str) -> Place:
    """Return a row as a report names it."""
    if raw.unreadable[row]:
        return Place(row=row + 1, ts_ns=None, what=f"{what} {raw.texts.get(row, '')!r}")
    return Place(row=row + 1, ts_ns=int(raw.ts_ns[row]), what=what)


def unsorted(raw: Timed, readable: Ints) -> Found[Place]:
    """Return the rows that are before one above them."""
    ts_ns = raw.ts_ns[readable]
    latest = np.maximum.accumulate(ts_ns)
    back = np.flatnonzero(ts_ns[1:] < latest[:-1]) + 1
    found = (
        place(raw, int(readable[at]), f"after {moment(int(latest[at - 1]))}") for at in back[:KEPT]
    )
    return found_in(back.size, found)


def strays(prices: Floats, tick: float) -> Flags:
    """Return which prices are on no whole tick; those that are no number are not."""
    usable = np.where(np.isfinite(prices), prices, 0.0)
    ticks = usable / tick
    tolerance = _GRID_TOLERANCE + 8 * np.finfo(np.float64).eps * np.abs(ticks)
    off_grid: Flags = np.abs(ticks - np.rint(ticks)) > tolerance
    return off_grid
