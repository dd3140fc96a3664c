"""What an order event changes in the ledger's row of its order. Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from strategy_engine.matching import ticket
from strategy_engine.matching.ticket import Cancelled, OrderEvent
from strategy_engine.venue.model import OrderChange, OrderStatus

_LONGEST_REASON = 200


def change_of(event: OrderEvent, order_id: str, symbol: str) -> OrderChange | None:
    """Return what an event changes, or None where the row stays as it is."""
    status: OrderStatus | None
    match event:
        case ticket.Accepted():
            status = OrderStatus.ACCEPTED
        case ticket.Triggered():
            status = OrderStatus.TRIGGERED
        case ticket.Expired():
            status = OrderStatus.EXPIRED
        case ticket.Rejected():
            return _ended(OrderStatus.REJECTED, order_id, symbol, f"{event.code}: {event.message}")
        case ticket.Cancelled():
            return _ended(OrderStatus.CANCELLED, order_id, symbol, event.why)
        case ticket.Executed():
            return OrderChange(
                order_id=order_id,
                symbol=symbol,
                status=OrderStatus.PARTIALLY_FILLED if event.leaves_lots else OrderStatus.FILLED,
                more_lots=event.lots,
            )
        case ticket.Updated():
            return OrderChange(
                order_id=order_id,
                symbol=symbol,
                lots=event.lots,
                limit_ticks=event.limit_ticks,
                trigger_ticks=event.trigger_ticks,
            )
        case _:  # a change or a cancel that was refused leaves the order as it was
            return None
    return OrderChange(order_id=order_id, symbol=symbol, status=status)


def _ended(status: OrderStatus, order_id: str, symbol: str, why: str) -> OrderChange:
    reason = why[:_LONGEST_REASON]
    return OrderChange(order_id=order_id, symbol=symbol, status=status, reason=reason)


def because(events: Iterable[OrderEvent], name: str, why: str) -> list[OrderEvent]:
    """Return events with what somebody gave as the reason of an order's end."""
    return [
        replace(each, why=why)
        if isinstance(each, Cancelled) and each.client_order_id == name
        else each
        for each in events
    ]
