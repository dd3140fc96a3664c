"""Orders of one line that would trade against each other. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import OrderType, Ticket

# Orders that stand on no book until their price has come.
_ASLEEP = frozenset(
    {
        OrderType.STOP_MARKET,
        OrderType.STOP_LIMIT,
        OrderType.MARKET_IF_TOUCHED,
        OrderType.LIMIT_IF_TOUCHED,
        OrderType.TRAILING_STOP_MARKET,
        OrderType.TRAILING_STOP_LIMIT,
    }
)


class Waiting(NamedTuple):
    """An order that waits for its price.

    Parameters
    ----------
    price_ticks : int or None
        The worst that it would trade at; None: any.
    since_ns, until_ns : int
        The part of the feed's time in which it may be met; -1: without end.
    """

    side: Side
    price_ticks: int | None
    since_ns: int
    until_ns: int = -1


def is_asleep(order: Ticket) -> bool:
    """Say whether an order stands on no book until its trigger is reached."""
    return order.type in _ASLEEP


def crosses(side: Side, price_ticks: int | None, now_ns: int, others: Iterable[Waiting]) -> bool:
    """Say whether an order that comes now would trade against one that waits.

    A market order (no price) meets whatever waits on the other side. What waits since a later
    instant of the feed's time, or no longer than until now, is not there to be met.
    """
    return any(
        each.side is not side
        and each.since_ns <= now_ns
        and (each.until_ns < 0 or now_ns < each.until_ns)
        and _meet(side, price_ticks, each.price_ticks)
        for each in others
    )


def _meet(side: Side, mine: int | None, theirs: int | None) -> bool:
    if mine is None or theirs is None:
        return True
    return mine >= theirs if side is Side.BUY else mine <= theirs
