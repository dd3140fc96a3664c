"""The course of an execution's equity, kept small: highest profit and daily returns. Pure."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategy_engine.matching.model import DAY_NS

MOST_DAYS = 300

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Equity at a close, and what was contributed by then. Account currency."""

    close_ns: int
    equity: Decimal
    contributed: Decimal

    @property
    def pnl(self) -> Decimal:
        """Return the profit."""
        return self.equity - self.contributed


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where an execution's equity has been.

    Parameters
    ----------
    close_ns : int
        The last close that is in it; -1 before any.
    days : tuple
        Day and worth at its end, oldest first: an index without what flowed.
    """

    close_ns: int = -1
    peak_pnl: Decimal | None = None
    equity: float = 0.0
    contributed: float = 0.0
    worth: float = 1.0
    days: tuple[tuple[int, float], ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "close_ns": self.close_ns,
            "peak_pnl": None if self.peak_pnl is None else str(self.peak_pnl),
            "equity": self.equity,
            "contributed": self.contributed,
            "worth": self.worth,
            "days": [list(each) for each in self.days],
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Course":
        """Return the course that `to_plain` gave."""
        peak = plain["peak_pnl"]
        days = tuple((day, worth) for day, worth in plain["days"])
        return cls(**plain | {"peak_pnl": None if peak is None else Decimal(peak), "days": days})


def go_on(before: Course, points: Iterable[Point]) -> Course:
    """Return the course after more closes, which come in their order."""
    days = dict(before.days)
    now = before
    for each in points:
        equity, contributed = float(each.equity), float(each.contributed)
        worth = now.worth
        if now.close_ns >= 0 and now.equity > 0:
            worth *= (equity - contributed + now.contributed) / now.equity
        days[(each.close_ns - 1) // DAY_NS] = worth
        now = replace(
            now,
            close_ns=each.close_ns,
            peak_pnl=each.pnl if now.peak_pnl is None else max(now.peak_pnl, each.pnl),
            equity=equity,
            contributed=contributed,
            worth=worth,
        )
    return replace(now, days=tuple(sorted(days.items())[-MOST_DAYS:]))


def daily(course: Course) -> dict[int, float]:
    """Return the returns of days that are over, by day; the first, of which a part is missing, not.

    The last day in it is still going on.
    """
    ended = course.days[:-1]
    pairs = itertools.pairwise(ended)
    return {day: worth / was - 1.0 for (_, was), (day, worth) in pairs if was > 0}
