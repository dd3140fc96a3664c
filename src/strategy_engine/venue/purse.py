"""The money of one venue: capital that moves between two bars, and the day's profit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from strategy_engine.matching.model import DAY_NS


class Money(Protocol):
    """Cash and what is held with it, of a signal's or of a native strategy's venue."""

    cash: int
    reserve_nanos: int

    def equity(self) -> int:
        """Return cash and positions at their marks, billionths."""
        ...

    def unpledged(self) -> int:
        """Return what neither a short nor a margin needs; below 0 where that does not suffice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What of a flow moves now (+ in, - out), and what of it waits for cash to become free."""

    amount_nanos: int
    reserve_nanos: int


def split(wanted_nanos: int, free_nanos: int) -> Split:
    """Return what moves now of what is to enter (+) or leave (-): what leaves is free.

    Parameters
    ----------
    free_nanos : int
        Cash that is neither pledged nor margin; below 0 where it does not suffice for those.
    """
    if wanted_nanos >= 0:
        return Split(amount_nanos=wanted_nanos, reserve_nanos=0)
    leaving = min(-wanted_nanos, max(0, free_nanos))
    return Split(amount_nanos=-leaving, reserve_nanos=-wanted_nanos - leaving)


class Purse:
    """What enters and leaves a venue's money, and what its equity was when the feed's day began."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._day = -1
        self._day_start_nanos = money.cash

    @property
    def day(self) -> int:
        """Return the feed's day, counted from 1970; -1 before the first."""
        return self._day

    @property
    def day_pnl_nanos(self) -> int:
        """Return the change of equity since the feed's day began, what flowed apart."""
        return self._money.equity() - self._day_start_nanos

    def come_to(self, now_ns: int) -> None:
        """Begin a new day of the feed's clock, if it is one."""
        day = now_ns // DAY_NS
        if day > self._day:
            self._day, self._day_start_nanos = day, self._money.equity()

    def move(self, wanted_nanos: int) -> int:
        """Let cash enter, or leave as far as it is free; return what moved.

        What is still to leave is reserved: nothing is opened with it.
        """
        moved = split(wanted_nanos, self._money.unpledged())
        self._money.reserve_nanos = moved.reserve_nanos
        self._money.cash += moved.amount_nanos
        self._day_start_nanos += moved.amount_nanos
        return moved.amount_nanos

    def reserve(self, to_leave_nanos: int) -> None:
        """Reserve what is to leave, and let nothing move for now."""
        self._money.reserve_nanos = max(0, to_leave_nanos)

    def dump(self, *, entries: int, slippage_ppm: int) -> dict[str, Any]:
        """Return what goes on of it, and what others read of it without knowing the terms.

        Parameters
        ----------
        entries : int
            Orders that have not ended and could open a position.
        slippage_ppm : int
            What the rule adds to a market order's price.
        """
        return {
            "day": [self._day, self._day_start_nanos],
            "now": {
                "equity": self._money.equity(),
                "free": max(0, self._money.unpledged()),
                "entries": entries,
                "slippage_ppm": slippage_ppm,
            },
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Put what `dump` returned into the purse of the same money."""
        self._day, self._day_start_nanos = state["day"]
