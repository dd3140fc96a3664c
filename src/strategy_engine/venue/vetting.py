"""What a risk engine outside has said of orders before they go; the gate asks of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from strategy_engine.matching.ticket import Ticket

type Key = tuple[str, int]  # an order's name and its lots: an answer is about just so much


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was said of the orders that somebody was asked about.

    Parameters
    ----------
    said : mapping
        Why each of those orders may not go; None: it may.
    otherwise : str or None
        Why an order may not go that nobody was asked about; None: it may.
    notices : tuple of str
        What there is to tell of how it was answered.
    """

    said: Mapping[Key, str | None] = field(default_factory=dict)
    otherwise: str | None = None
    notices: tuple[str, ...] = ()

    def against(self, order_id: str, lots: int) -> str | None:
        """Return why an order may not go; None: it may."""
        return self.said.get((order_id, lots), self.otherwise)


NOBODY_ASKED = Answers()


def enlarges(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Say whether a change of a working order lets it have more at stake.

    Parameters
    ----------
    before, after : tuple of int
        Lots that are left, and the price in ticks that their notional is judged at.
    """
    return after[0] > before[0] or after[0] * after[1] > before[0] * before[1]


def ahead(order: Ticket, earlier: Mapping[str, Ticket]) -> int:
    """Return the lots of earlier orders, asked for with one, that it would come to add to.

    Linked orders are left out: of those one fills.
    """
    return sum(
        each.lots
        for name, each in earlier.items()
        if (each.symbol, each.side) == (order.symbol, order.side)
        and not each.reduce_only
        and name not in (order.client_order_id, *order.linked_ids)
    )
