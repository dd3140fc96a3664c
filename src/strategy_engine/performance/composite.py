"""Metrics of several ledgers as one account: a version's, a line's, the whole engine's. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import formulas, measure, model

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

HOUR_NS = 60 * formulas.NANOS_PER_MINUTE
_SATURDAY, _SUNDAY = 5, 6
_DAYS_OF_SESSIONS, _DAYS_OF_ALWAYS = 252, 365


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """One ledger at the last bar close of each hour that it has one in.

    Parameters
    ----------
    opening : float
        What it was opened with, account currency.
    hour : array of int64, shape (n,)
        UTC hours since 1970, rising; a close at a full hour belongs to the hour before.
    equity, contributed : array of float64, shape (n,), account currency
    benchmark : array of float64, shape (n,)
        An index that starts at 1.
    entry_ns, exit_ns : array of int64, shape (m,)
        Of its closed round trips.
    pnl : array of float64, shape (m,), account currency
        What each made after costs.
    """

    opening: float
    hour: Ints
    equity: Floats
    contributed: Floats
    benchmark: Floats
    entry_ns: Ints
    exit_ns: Ints
    pnl: Floats

    @property
    def made(self) -> float:
        """Return its profit, account currency."""
        return float(self.equity[-1] - self.contributed[-1]) if self.hour.size else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Composite:
    """Several ledgers as one account.

    Parameters
    ----------
    hour : array of int64, shape (n,)
    worth, benchmark : array of float64, shape (n,)
        What 1 has become by the end of each hour, with the returns of the account and of what
        its ledgers are compared with.
    held : array of float64, shape (n,), account currency
        What was at stake in each hour.
    """

    hour: Ints
    worth: Floats
    benchmark: Floats
    held: Floats

    @property
    def close_ns(self) -> Ints:
        """Return the end of each hour, nanoseconds since 1970."""
        found: Ints = (self.hour + 1) * HOUR_NS
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of a history is measured, and against what.

    Parameters
    ----------
    benchmark : str or None
        `traded`, `cash` or a symbol; None: what each execution is compared with by its config.
    start_ns, end_ns : int or None
        Closes of bars in [start, end).
    risk_free : float
        The yearly risk-free rate.
    """

    benchmark: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    risk_free: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The metrics of some executions as one account; `by` says of which returns they are."""

    metrics: model.Metrics
    by: str
    executions: int
    equity: float
    pnl: float
    first_ns: int | None
    last_ns: int | None


def compose(courses: Sequence[Course]) -> Composite:
    """Return the time-weighted course of the sum of ledgers.

    An hour's return is what all of them made over what all of them had when it began; what flows
    in or out, from one of them to another too, is no return of any. A ledger is part of the sum
    from its opening to its last hour, and stands still in an hour without a bar of its own.
    """
    filled = [each for each in courses if each.hour.size]
    if not filled:
        nothing = np.empty(0)
        return Composite(hour=np.empty(0, np.int64), worth=nothing, benchmark=nothing, held=nothing)
    hour: Ints = np.unique(np.concatenate([each.hour for each in filled]))
    base, made, market = np.zeros(hour.size), np.zeros(hour.size), np.zeros(hour.size)
    for each in filled:
        _add(each, hour, base, made, market)
    held = base > 0.0
    divisor = np.where(held, base, 1.0)
    returns = np.where(held, made / divisor, 0.0)
    compared = np.where(held, market / divisor, 0.0)
    return Composite(
        hour=hour,
        worth=np.cumprod(1.0 + returns),
        benchmark=np.cumprod(1.0 + compared),
        held=base,
    )


def cut(course: Course, close_ns: Ints, *, start_ns: int | None, end_ns: int | None) -> Course:
    """Return the part of a course that closes in [start, end), as if it began there.

    A round trip belongs to the part that it closed in.

    Parameters
    ----------
    close_ns : array of int64, shape (n,)
        When each of its points is, nanoseconds since 1970.
    """
    first = 0 if start_ns is None else int(np.searchsorted(close_ns, start_ns))
    last = close_ns.size if end_ns is None else int(np.searchsorted(close_ns, end_ns))
    last = max(first, last)
    kept = np.ones(course.exit_ns.size, dtype=bool)
    if start_ns is not None:
        kept &= course.exit_ns >= start_ns
    if end_ns is not None:
        kept &= course.exit_ns < end_ns
    opening = float(course.equity[first - 1]) if first else course.opening
    given = float(course.contributed[first - 1]) if first else course.opening
    index = float(course.benchmark[first - 1]) if first else 1.0
    return Course(
        opening=opening,
        hour=course.hour[first:last],
        equity=course.equity[first:last],
        contributed=course.contributed[first:last] - given + opening,
        benchmark=course.benchmark[first:last] / index,
        entry_ns=course.entry_ns[kept],
        exit_ns=course.exit_ns[kept],
        pnl=course.pnl[kept],
    )


def measured(
    courses: Sequence[Course],
    *,
    risk_free: float = 0.0,
    market: Callable[[Ints], Floats] | None = None,
) -> model.Metrics:
    """Return the metrics of several ledgers as one account, by its hourly returns.

    Parameters
    ----------
    risk_free : float
        The yearly risk-free rate.
    market : callable, optional
        What to compare with: takes the ends of hours and returns an index that starts at 1; by
        default what each ledger is compared with, by what it has.
    """
    whole = compose(courses)
    index = whole.benchmark if market is None else market(whole.close_ns)
    return measure.measure_sums(
        whole.worth,
        ts_ns=whole.close_ns,
        capital=1.0,
        trades=measure.trades_of(
            _joined([each.entry_ns for each in courses], np.int64),
            _joined([each.exit_ns for each in courses], np.int64),
            _joined([each.pnl for each in courses], np.float64),
        ),
        benchmark_price=index if whole.hour.size else None,
        benchmark_start=1.0,
        periods_per_year=hours_per_year(whole.hour),
        risk_free=risk_free,
    )


def hours_per_year(hour: Ints) -> float:
    """Return how many hours with a bar there are in a year of days like those of a history.

    365 days a year if any hour is on a Saturday, else 252, a Sunday's hours being part of Monday's.
    """
    if not hour.size:
        return float(24 * _DAYS_OF_ALWAYS)
    day = hour // 24
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    if np.any(weekday == _SATURDAY):
        return float(hour.size / np.unique(day).size * _DAYS_OF_ALWAYS)
    trading = np.where(weekday == _SUNDAY, day + 1, day)
    return float(hour.size / np.unique(trading).size * _DAYS_OF_SESSIONS)


def _add(each: Course, hour: Ints, base: Floats, made: Floats, market: Floats) -> None:
    first, last = np.searchsorted(hour, each.hour[[0, -1]]).tolist()
    span = slice(first, last + 1)
    at = np.searchsorted(each.hour, hour[span], side="right") - 1
    is_own = each.hour[at] == hour[span]  # else it stands still
    before = np.concatenate(((each.opening,), each.equity[:-1]))
    flow = np.diff(each.contributed, prepend=each.opening)
    gained = each.equity - before - flow
    index_before = np.concatenate(((1.0,), each.benchmark[:-1]))
    stake = np.where(is_own, before[at], each.equity[at])
    stake = np.maximum(stake, 0.0)
    base[span] += stake
    made[span] += np.where(is_own, gained[at], 0.0)
    moved = np.where(is_own, (each.benchmark / index_before - 1.0)[at], 0.0)
    market[span] += stake * moved


def _joined[T: np.generic](parts: Sequence[NDArray[T]], kind: type[T]) -> NDArray[T]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)
