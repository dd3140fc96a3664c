"""What groups of ledgers come to: the arithmetic of control's measuring. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import composite
from strategy_engine.performance.composite import Asked, Course, Measured
from strategy_engine.performance.model import Metrics
from strategy_engine.venue import curves
from strategy_engine.venue.curves import Curve, Trips

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]
type Market = Callable[[Ints], Floats]


def measure_all(groups: Mapping[str, Mapping[str, Course]]) -> dict[str, Measured]:
    """Measure groups; those with the same members once."""
    done: dict[frozenset[str], Measured] = {}
    found = {}
    for name, members in groups.items():
        key = frozenset(members)
        if key not in done:
            done[key] = measure(tuple(members.values()), Asked())
        found[name] = done[key]
    return found


def measure(members: Sequence[Course], asked: Asked, market: Market | None = None) -> Measured:
    """Measure ledgers as one account."""
    courses = [
        composite.cut(
            each,
            (each.hour + 1) * composite.HOUR_NS,
            start_ns=asked.start_ns,
            end_ns=asked.end_ns,
        )
        for each in members
    ]
    metrics = composite.measured(courses, risk_free=asked.risk_free, market=market)
    ends = [each.hour for each in courses if each.hour.size]
    hour = np.unique(np.concatenate(ends)) if ends else np.empty(0, np.int64)
    return told(metrics, courses, "hours", (hour + 1) * composite.HOUR_NS)


def told(metrics: Metrics, courses: Sequence[Course], by: str, close_ns: Ints) -> Measured:
    """Return what courses come to, with their metrics."""
    return Measured(
        metrics=metrics,
        by=by,
        executions=len(courses),
        equity=float(sum(each.equity[-1] for each in courses if each.hour.size)),
        pnl=float(sum(each.made for each in courses)),
        first_ns=int(close_ns[0]) if close_ns.size else None,
        last_ns=int(close_ns[-1]) if close_ns.size else None,
    )


def plain(measured: Measured) -> dict[str, object]:
    """Return what a snapshot of a group has."""
    return measured.metrics.to_dict() | {
        "equity": measured.equity,
        "pnl": measured.pnl,
        "execution_count": measured.executions,
        "estimates": measured.metrics.estimates(),
    }


def hourly(curve: Curve | None, trips: Trips | None) -> Course:
    """Return a ledger's course by the hour."""
    course = course_of(curve, trips)
    return replace(course, hour=curves.hours(course.hour))


def course_of(curve: Curve | None, trips: Trips | None) -> Course:
    """Return a ledger's course, its closes in place of hours."""
    none, nowhere = np.empty(0), np.empty(0, np.int64)
    return Course(
        opening=0.0 if curve is None else curve.opening,
        hour=nowhere if curve is None else curve.close_ns,
        equity=none if curve is None else curve.equity,
        contributed=none if curve is None else curve.contributed,
        benchmark=none if curve is None else curve.benchmark,
        entry_ns=nowhere if trips is None else trips.entry_ns,
        exit_ns=nowhere if trips is None else trips.exit_ns,
        pnl=none if trips is None else trips.pnl,
    )


def index(closes: Ints, opens: Floats, prices: Floats, close_ns: Ints) -> Floats:
    """Return what 1 has become in an instrument from the bar of the first close on."""
    if not close_ns.size:
        return np.empty(0)
    first = int(np.searchsorted(closes, close_ns[0]))
    if first == closes.size:
        return np.ones(close_ns.size)
    known = np.searchsorted(closes, close_ns, side="right") - 1
    found: Floats = np.where(known < first, 1.0, prices[known] / opens[first])
    return found
