"""NautilusTrader's orders as tickets on the wire, and tickets as orders again. Pure."""

from decimal import Decimal
from typing import Any

import msgspec
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import (
    ContingencyType,
    OrderSide,
    TrailingOffsetType,
    TriggerType,
)
from nautilus_trader.model.enums import OrderType as NautilusType
from nautilus_trader.model.enums import TimeInForce as NautilusTime
from nautilus_trader.model.events import OrderInitialized
from nautilus_trader.model.identifiers import ClientOrderId, StrategyId, TraderId
from nautilus_trader.model.orders import Order, OrderUnpacker

from strategy_engine.core.money import BPS, NANOS
from strategy_engine.kernel.native.instruments import Listing
from strategy_engine.matching import ticket
from strategy_engine.matching.model import Side
from strategy_engine.matching.ticket import Contingency, OrderType, Ticket, TimeInForce

encode = msgspec.msgpack.Encoder().encode
decode_events = msgspec.msgpack.Decoder(list[ticket.OrderEvent]).decode
decode_tickets = msgspec.msgpack.Decoder(list[Ticket]).decode

_STARTS_AT_THE_MARKET = None  # a trailing stop without an activation price follows from the start


class UntradableError(Exception):
    """The venue cannot take such an order; the message says why and what it takes instead."""


def to_ticket(order: Order, listing: Listing, last_ticks: int | None) -> Ticket:
    """Return an order as the gate takes it.

    Parameters
    ----------
    last_ticks : int or None
        The last price, for a trailing offset in basis points.

    Raises
    ------
    UntradableError
        If the venue has no such order, or a price or quantity is between two steps.
    """
    if order.is_quote_quantity:
        raise UntradableError("a quantity in the quote currency is not offered; give base units")
    lots = listing.lots(order.quantity)
    if lots is None:
        step = listing.terms.quantity(1)
        raise UntradableError(f"a quantity of {order.quantity} is not a multiple of {step:g}")
    expire_ns = getattr(order, "expire_time_ns", 0)
    return Ticket(
        client_order_id=order.client_order_id.value,
        symbol=listing.terms.symbol,
        side=Side.BUY if order.side == OrderSide.BUY else Side.SELL,
        type=_named(OrderType, NautilusType(order.order_type).name),
        lots=lots,
        time_in_force=_named(TimeInForce, NautilusTime(order.time_in_force).name),
        limit_ticks=_ticks(order, "price", listing),
        trigger_ticks=_ticks(order, "trigger_price", listing),
        trailing_ticks=_offset_ticks(order, "trailing_offset", listing, last_ticks),
        limit_offset_ticks=_offset_ticks(order, "limit_offset", listing, last_ticks),
        activation_ticks=_ticks(order, "activation_price", listing),
        expire_ns=expire_ns or None,
        post_only=order.is_post_only,
        reduce_only=order.is_reduce_only,
        contingency=_contingency(order),
        linked_ids=tuple(each.value for each in order.linked_order_ids or ()),
        parent_id=order.parent_order_id.value if order.parent_order_id is not None else None,
        tags=tuple(order.tags or ()),
    )


def to_order(made: Ticket, listing: Listing, who: tuple[TraderId, StrategyId], ts_ns: int) -> Order:
    """Return a ticket as the order it was made from, as far as a venue knows it."""
    return OrderUnpacker.from_init(
        OrderInitialized(
            trader_id=who[0],
            strategy_id=who[1],
            instrument_id=listing.id,
            client_order_id=ClientOrderId(made.client_order_id),
            order_side=OrderSide[made.side.value],
            order_type=NautilusType[made.type.value],
            quantity=listing.quantity(made.lots),
            time_in_force=NautilusTime[made.time_in_force.value],
            post_only=made.post_only,
            reduce_only=made.reduce_only,
            quote_quantity=False,
            options=_options(made, listing),
            emulation_trigger=TriggerType.NO_TRIGGER,
            trigger_instrument_id=None,
            contingency_type=_contingency_type(made.contingency),
            order_list_id=None,
            linked_order_ids=[ClientOrderId(each) for each in made.linked_ids] or None,
            parent_order_id=None if made.parent_id is None else ClientOrderId(made.parent_id),
            exec_algorithm_id=None,
            exec_algorithm_params=None,
            exec_spawn_id=None,
            tags=list(made.tags) or None,
            event_id=UUID4(),
            ts_init=ts_ns,
        )
    )


def _options(made: Ticket, listing: Listing) -> dict[str, Any]:
    # The keys that each order type reads from its first event; those it does not read are left.
    def price(ticks: int | None) -> str | None:
        return None if ticks is None else str(listing.price(ticks))

    def distance(ticks: int | None) -> str | None:
        step = Decimal(listing.terms.tick_nanos) / NANOS
        return None if ticks is None else str(ticks * step)

    return {
        "price": price(made.limit_ticks),
        "trigger_price": price(made.trigger_ticks),
        "trigger_type": TriggerType.DEFAULT.name,
        "activation_price": price(made.activation_ticks),
        "trailing_offset": distance(made.trailing_ticks),
        "trailing_offset_type": TrailingOffsetType.PRICE.name,
        "limit_offset": distance(made.limit_offset_ticks),
        "expire_time_ns": made.expire_ns or 0,
        "display_qty": None,
    }


def _ticks(order: Order, name: str, listing: Listing) -> int | None:
    price = getattr(order, name, None)
    if price is None:
        return None
    ticks: int | None = listing.ticks(price)
    if ticks is None:
        step = listing.terms.price(1)
        raise UntradableError(f"{name} {price} is not a multiple of the tick, {step:g}")
    return ticks


def _offset_ticks(order: Order, name: str, listing: Listing, last_ticks: int | None) -> int | None:
    offset: Decimal | None = getattr(order, name, None)
    if offset is None:
        return None
    kind = TrailingOffsetType(order.trailing_offset_type)
    if kind == TrailingOffsetType.TICKS:
        ticks = int(offset)
    elif kind == TrailingOffsetType.PRICE:
        ticks = round(offset * NANOS / listing.terms.tick_nanos)
    elif kind == TrailingOffsetType.BASIS_POINTS and last_ticks is not None:
        ticks = round(offset * last_ticks / BPS)
    else:
        raise UntradableError(f"a {name} in {kind.name} is not offered; give PRICE or TICKS")
    return max(1, ticks) if name == "trailing_offset" else ticks


def _named[E: (OrderType, TimeInForce)](kind: type[E], name: str) -> E:
    try:
        return kind(name)
    except ValueError:
        offered = ", ".join(kind)
        raise UntradableError(f"{name} is not offered; offered are {offered}") from None


def _contingency(order: Order) -> Contingency:
    name = ContingencyType(order.contingency_type).name
    return Contingency.NONE if name == "NO_CONTINGENCY" else Contingency(name)


def _contingency_type(contingency: Contingency) -> ContingencyType:
    if contingency is Contingency.NONE:
        return ContingencyType.NO_CONTINGENCY
    return ContingencyType[contingency.value]
