"""What executions hold and do together, by line, by account and on the whole node. In memory.

A position of several executions is the sum of those on one side of an instrument: a long of one
version does not make room for a short of another. So closing one never makes the sum larger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from strategy_engine.matching.model import Side


class Sides(NamedTuple):
    """The most that may be long and short in an instrument, orders considered; billionths."""

    long_nanos: int = 0
    short_nanos: int = 0

    @property
    def gross_nanos(self) -> int:
        """Return the larger of the two: only one of them can come to be."""
        return max(self)

    def of(self, side: Side) -> int:
        """Return the side that orders of a kind enlarge."""
        return self.long_nanos if side is Side.BUY else self.short_nanos


FLAT = Sides()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one execution holds and does. Money in billionths of the account currency.

    Parameters
    ----------
    day : int
        The day of the feed's clock that `pnl_nanos` is of.
    orders, cancels : int
        Within the last minute of its feed's clock.
    """

    equity_nanos: int = 0
    day: int = -1
    pnl_nanos: int = 0
    orders: int = 0
    cancels: int = 0
    sides: Mapping[str, Sides] = field(default_factory=dict)

    @property
    def gross_nanos(self) -> int:
        """Return the exposure in all instruments."""
        return sum(each.gross_nanos for each in self.sides.values())


NOBODY = Standing()


class Sums:
    """The sum of several standings, and what those came to today who have left."""

    __slots__ = (
        "cancels",
        "equity_nanos",
        "gross_nanos",
        "left_day",
        "left_nanos",
        "orders",
        "pnl_nanos",
        "sides",
    )

    def __init__(self) -> None:
        self.equity_nanos = 0
        self.gross_nanos = 0
        self.pnl_nanos = 0
        self.orders = 0
        self.cancels = 0
        self.sides: dict[str, Sides] = {}
        self.left_day = -1
        self.left_nanos = 0

    def change(self, before: Standing, after: Standing) -> None:
        """Put one standing in another's place."""
        self.equity_nanos += after.equity_nanos - before.equity_nanos
        self.gross_nanos += after.gross_nanos - before.gross_nanos
        self.pnl_nanos += after.pnl_nanos - before.pnl_nanos
        self.orders += after.orders - before.orders
        self.cancels += after.cancels - before.cancels
        if after.sides != before.sides:
            for symbol in {**before.sides, **after.sides}:
                self._change(symbol, before.sides.get(symbol, FLAT), after.sides.get(symbol, FLAT))

    def keep(self, day: int, pnl_nanos: int) -> None:
        """Keep the day's result of one who leaves, or has left."""
        if day > self.left_day:
            self.left_day, self.left_nanos = day, 0
        if day == self.left_day:
            self.left_nanos += pnl_nanos

    def beside(self, mine: Standing, symbol: str, day: int) -> "Beside":
        """Return what there is in these sums beside one standing, for an order in an instrument."""
        theirs, own = self.sides.get(symbol, FLAT), mine.sides.get(symbol, FLAT)
        left_nanos = self.left_nanos if day == self.left_day else 0
        return Beside(
            equity_nanos=self.equity_nanos - mine.equity_nanos,
            gross_nanos=self.gross_nanos - mine.gross_nanos,
            pnl_nanos=self.pnl_nanos - mine.pnl_nanos + left_nanos,
            orders=self.orders - mine.orders,
            cancels=self.cancels - mine.cancels,
            long_nanos=theirs.long_nanos - own.long_nanos,
            short_nanos=theirs.short_nanos - own.short_nanos,
        )

    def _change(self, symbol: str, before: Sides, after: Sides) -> None:
        now = self.sides.get(symbol, FLAT)
        changed = Sides(
            now.long_nanos + after.long_nanos - before.long_nanos,
            now.short_nanos + after.short_nanos - before.short_nanos,
        )
        if changed == FLAT:
            self.sides.pop(symbol, None)
        else:
            self.sides[symbol] = changed


class Beside(NamedTuple):
    """What the others of a line, an account or the node hold and do, as one order is judged."""

    equity_nanos: int = 0
    gross_nanos: int = 0
    pnl_nanos: int = 0
    orders: int = 0
    cancels: int = 0
    long_nanos: int = 0
    short_nanos: int = 0

    def of(self, side: Side) -> int:
        """Return the side of the order's instrument that orders of a kind enlarge."""
        return self.long_nanos if side is Side.BUY else self.short_nanos


ALONE = Beside()
