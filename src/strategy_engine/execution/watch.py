"""What risk sees of an execution that runs, and who hears of its fills."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from strategy_engine.core import money
from strategy_engine.execution.desk import Desk
from strategy_engine.execution.native_desk import NativeDesk
from strategy_engine.execution.traders import AnyDesk
from strategy_engine.matching.model import DAY_NS


class Watch(Protocol):
    """Who is told of fills that are on the disk; it must not wait for anything."""

    def on_fills(self, execution_id: str) -> None:
        """Hear that an execution has had fills."""
        ...


class NoWatch:
    """Nobody."""

    def on_fills(self, execution_id: str) -> None:
        """Do nothing."""
        del execution_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an execution has come to by now, in memory. Account currency.

    Parameters
    ----------
    day_pnl : Decimal
        The change of equity since the feed's day began, what flowed apart.
    at_ns : int
        The close of the last bar or the time of the last tick; -1 before the first.
    holdings : mapping
        The value of each position at its mark, signed, by instrument; of flat ones nothing.
    """

    equity: Decimal
    contributed: Decimal
    day_pnl: Decimal
    at_ns: int
    holdings: Mapping[str, Decimal]

    @property
    def pnl(self) -> Decimal:
        """Return the profit."""
        return self.equity - self.contributed

    @property
    def day(self) -> int:
        """Return the day of the feed's clock; -1 before the first bar."""
        return (self.at_ns - 1) // DAY_NS if self.at_ns > 0 else -1


def figures(desk: AnyDesk) -> Figures:
    """Return what a desk has come to by now."""
    match desk:
        case Desk():
            funds, day_nanos = desk.venue.account, desk.venue.day_pnl_nanos
            positions = {name: book.value_nanos() for name, book in funds.books.items()}
            equity = funds.equity()
        case NativeDesk():
            book, day_nanos = desk.venue.book, desk.venue.day_pnl_nanos
            positions = {name: each.value_nanos() for name, each in book.positions.items()}
            equity = book.equity()
        case _:
            raise TypeError(f"a {type(desk).__name__} is no desk of either kernel")
    return Figures(
        equity=money.to_decimal(equity),
        contributed=money.to_decimal(desk.tally.contributed_nanos),
        day_pnl=money.to_decimal(day_nanos),
        at_ns=desk.tally.place[0],
        holdings={name: money.to_decimal(value) for name, value in positions.items() if value},
    )
