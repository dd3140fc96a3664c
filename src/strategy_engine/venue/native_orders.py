"""The orders of a native execution that have not ended: at the book, or on their way to it."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from strategy_engine.matching.exchange import Exchange
from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import OrderType, Ticket
from strategy_engine.matching.working import Phase
from strategy_engine.venue import matches, rules
from strategy_engine.venue.aggregates import Sides
from strategy_engine.venue.matches import Waiting


class OpenOrders:
    """What an exchange still has to fill. Reads; changes nothing."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def each(self) -> Iterator[tuple[Ticket, int]]:
        """Return every order that has not ended, with the lots that are left of it."""
        for working in self._exchange.book.working:
            yield working.ticket, working.leaves
        for _, asked in self._exchange.waiting:
            if isinstance(asked, Ticket):
                yield asked, asked.lots

    def find(self, name: str) -> tuple[Ticket, int] | None:
        """Return an order by its name, as `each` does."""
        return next((each for each in self.each() if each[0].client_order_id == name), None)

    def filled(self, name: str) -> int:
        """Return how many lots of an order have filled."""
        working = self._exchange.book.working
        return next((each.filled for each in working if each.order_id == name), 0)

    def may_open(self, order: Ticket, leaves: int) -> bool:
        """Say whether what is left of an order could open a position."""
        held = self._exchange.book.positions[order.symbol].lots
        return rules.may_open(replace(order, lots=leaves), held)

    def beside(self, order: Ticket) -> int:
        """Return the lots that others of an order's side, which could open too, have to fill."""
        return sum(
            leaves
            for each, leaves in self.each()
            if (each.symbol, each.side) == (order.symbol, order.side)
            and not each.reduce_only
            and each.client_order_id not in (order.client_order_id, *order.linked_ids)
        )

    def sides(self) -> Mapping[str, Sides]:
        """Return the most that may be held in each instrument where there is something, at marks.

        Linked orders count each, though they never both fill.
        """
        long: dict[str, int] = {}
        short: dict[str, int] = {}
        for each, leaves in self.each():
            if not each.reduce_only:
                side = long if each.side is Side.BUY else short
                side[each.symbol] = side.get(each.symbol, 0) + leaves
        found: dict[str, Sides] = {}
        for symbol, position in self._exchange.book.positions.items():
            bought = max(0, position.lots + long.get(symbol, 0))
            sold = max(0, short.get(symbol, 0) - position.lots)
            if bought or sold:
                nanos, mark = position.terms.nanos, position.mark
                found[symbol] = Sides(nanos(bought * mark), nanos(sold * mark))
        return found

    def waiting(self) -> Mapping[str, tuple[Waiting, ...]]:
        """Return what somebody else's order may meet: nothing that waits for a trigger."""
        found: dict[str, list[Waiting]] = {}
        for working in self._exchange.book.working:
            if working.phase is not Phase.TRIGGER and not working.is_held:
                ticket = working.ticket
                waits = Waiting(ticket.side, working.limit, working.accepted_ns)
                found.setdefault(ticket.symbol, []).append(waits)
        for given_ns, asked in self._exchange.waiting:
            if isinstance(asked, Ticket) and not matches.is_asleep(asked):
                waits = Waiting(asked.side, price_of(asked), given_ns)
                found.setdefault(asked.symbol, []).append(waits)
        return {symbol: tuple(each) for symbol, each in found.items()}


def price_of(order: Ticket) -> int | None:
    """Return the worst price that an order would trade at; None: any."""
    return order.limit_ticks if order.type is OrderType.LIMIT else None


def prices_of(order: Ticket, mark_ticks: int) -> tuple[int, ...]:
    """Return the prices that an order names; a distance is so far from the last price."""
    named = (order.limit_ticks, order.trigger_ticks, order.activation_ticks)
    distances = (order.trailing_ticks, order.limit_offset_ticks)
    return (
        *(each for each in named if each is not None),
        *(mark_ticks + each for each in distances if each is not None),
    )
