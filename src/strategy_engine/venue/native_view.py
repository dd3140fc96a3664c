"""What a native strategy knows of its account: what it is told of, and nothing beyond."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.ticket import Ticket
from strategy_engine.venue.tape import Tape


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a strategy knows of its account that has heard of everything until now.

    Parameters
    ----------
    balance_nanos : int
        The account without what open positions gain or lose.
    holdings : sequence
        Symbol, signed lots and average entry price of every position.
    working : sequence of Ticket
        What has not ended for it, with the terms it has by now and the lots that are left.
    filled : mapping
        Lots that had filled of those, by name; those of none are left out.
    """

    balance_nanos: int
    holdings: tuple[tuple[str, int, float], ...]
    working: tuple[Ticket, ...]
    filled: Mapping[str, int]


def of(exchange: Exchange, tape: Tape) -> View:
    """Return what a strategy knows that has heard of everything but refusals."""
    book = exchange.book
    waiting = [each for _, each in exchange.waiting if isinstance(each, Ticket)]
    held = [(name, each) for name, each in book.positions.items() if each.lots]
    paid = sum(each.entry_nanos if each.lots > 0 else -each.entry_nanos for _, each in held)
    works = [
        replace(each.ticket, lots=each.leaves, limit_ticks=each.limit, trigger_ticks=each.trigger)
        for each in book.working
    ]
    return View(
        balance_nanos=book.cash + paid,
        holdings=tuple((name, each.lots, each.entry_price or 0.0) for name, each in held),
        working=(*works, *waiting, *tape.refused),
        filled={each.order_id: each.filled for each in book.working if each.filled},
    )
